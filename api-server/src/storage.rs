//! Reading and writing records: compare-and-swap against the store, started from the cache.
//!
//! ```text
//!  update:  cached object ──change──► new body ──write if still that version──► done
//!                ▲            │ refused, or nothing to do       │ conflict
//!                └── reread ◄─┴─────────────────────────────────┘
//! ```
//!
//! A cached object may be behind the store. So a change that is refused, or that has nothing to do,
//! is tried once more on what the store holds before anybody is told.
//!
//! **Invariant:** nothing is acknowledged that the store has not acknowledged.

use std::sync::Arc;

use meseta_store::{Change, Error, Expect, Record, Store, Version};
use serde_json::Value;

use crate::cache::Cache;
use crate::object::{self, Body, Object};
use crate::registry::Kind;
use crate::status::Failure;

mod leases;
mod room;

pub(crate) use leases::Leases;

/// Attempts of one update against other writers of the same record; each failure means that
/// another one succeeded.
const MAX_ATTEMPTS: usize = 32;

/// A served kind with its records.
#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) kind: Arc<Kind>,
    pub(crate) cache: Arc<Cache>,
    prefix: String,
    /// Whether its records vanish after a while.
    expires: bool,
}

/// What a change makes of a record.
#[derive(Debug)]
pub(crate) enum Step {
    /// It becomes this.
    Put(Value),
    /// It goes; this is what is shown of it.
    Delete(Value),
    /// Nothing is to be done.
    Keep,
}

/// What became of a record.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is stored as this; or would be, in a dry run.
    Stored(Body, Version),
    /// It is gone, and was this.
    Gone(Value),
}

impl Resource {
    pub(crate) fn new(kind: &Arc<Kind>, cache: Arc<Cache>) -> Self {
        let expires = kind.group.is_empty() && kind.kind == "Event";
        Self { prefix: kind.key_prefix(), kind: Arc::clone(kind), cache, expires }
    }

    /// The key in the store.
    fn store_key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// The object as the store holds it now.
    ///
    /// # Errors
    /// 503 or 500 where the store does not answer, or holds no object there.
    pub(crate) async fn read(
        &self,
        store: &dyn Store,
        key: &str,
    ) -> Result<Option<Arc<Object>>, Failure> {
        let record = store.get(&self.store_key(key)).await?;
        let decode = |record| Object::from_record(&self.kind, &self.prefix, record);
        Ok(record.map(decode).transpose().map_err(Failure::internal)?.map(Arc::new))
    }

    /// Up to `limit` objects after the key `after`, as they were at `version`; whether more follow.
    ///
    /// # Errors
    /// What the store says: [`Error::Compacted`] above all.
    pub(crate) async fn list_at(
        &self,
        store: &dyn Store,
        version: Version,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<Arc<Object>>, bool), Error> {
        let after = after.map(|after| self.store_key(after));
        let page = store.list(&self.prefix, after.as_deref(), limit, Some(version)).await?;
        let mut objects = Vec::with_capacity(page.records.len());
        for record in page.records {
            match Object::from_record(&self.kind, &self.prefix, record) {
                Ok(object) => objects.push(Arc::new(object)),
                Err(error) => tracing::error!(%error, "left out"),
            }
        }
        Ok((objects, page.more))
    }

    /// Stores a new object. Its name and namespace are set.
    ///
    /// # Errors
    /// 409 where the name is taken; 413; what the store says.
    pub(crate) async fn create(
        &self,
        storage: &Storage,
        value: &Value,
        dry_run: bool,
    ) -> Result<(Body, Version), Failure> {
        let text = |name| value["metadata"][name].as_str().unwrap_or_default();
        let key = object::key(text("namespace"), text("name"));
        let body = self.encode(value, None)?;
        if dry_run {
            return match self.read(&*storage.store, &key).await? {
                Some(existing) => Err(self.exists(&existing)),
                None => Ok((body, Version::default())),
            };
        }
        match self.put(storage, &key, Expect::Absent, &body).await {
            Ok(version) => Ok((body, version)),
            Err(Error::Conflict { current: Some(record) }) => {
                let existing = Object::from_record(&self.kind, &self.prefix, record);
                Err(self.exists(&existing.map_err(Failure::internal)?))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn exists(&self, existing: &Object) -> Failure {
        if existing.is_terminating() {
            Failure::being_deleted(&self.kind, existing.name())
        } else {
            Failure::already_exists(&self.kind, existing.name())
        }
    }

    /// Changes the object with `key` as `change` says, which may be called several times: it is
    /// given what is there and must depend on nothing else.
    ///
    /// # Errors
    /// 404 where it does not exist; what `change` says to what the store holds; 409 where others
    /// are always faster; what the store says.
    pub(crate) async fn update(
        &self,
        storage: &Storage,
        key: &str,
        dry_run: bool,
        mut change: impl FnMut(&Object) -> Result<Step, Failure>,
    ) -> Result<Outcome, Failure> {
        let name = key.rsplit('/').next().unwrap_or(key);
        let absent = || Failure::not_found(&self.kind, name);
        // A dry run writes nothing that would tell it that the cache is behind.
        let cached = self.cache.get(key).filter(|_| !dry_run);
        let mut fresh = cached.is_none();
        let mut current = match cached {
            Some(cached) => cached,
            None => self.read(&*storage.store, key).await?.ok_or_else(absent)?,
        };
        for _ in 0..MAX_ATTEMPTS {
            let step = change(&current);
            let writes = matches!(step, Ok(Step::Put(_) | Step::Delete(_)));
            if !writes && !fresh {
                let stored = self.read(&*storage.store, key).await?.ok_or_else(absent)?;
                fresh = true;
                if stored.version() != current.version() {
                    current = stored;
                    continue;
                }
            }
            match self.carry_out(storage, &current, step?, dry_run).await {
                Ok(outcome) => return Ok(outcome),
                Err(Refusal::Changed(Some(record))) => {
                    let stored = Object::from_record(&self.kind, &self.prefix, record);
                    current = Arc::new(stored.map_err(Failure::internal)?);
                    fresh = true;
                }
                Err(Refusal::Changed(None)) => return Err(absent()),
                Err(Refusal::Failed(failure)) => return Err(failure),
            }
        }
        Err(Failure::modified(&self.kind, name))
    }

    async fn carry_out(
        &self,
        storage: &Storage,
        current: &Object,
        step: Step,
        dry_run: bool,
    ) -> Result<Outcome, Refusal> {
        let expect = Expect::Version(current.version());
        match step {
            Step::Keep => Ok(Outcome::Stored(current.body().clone(), current.version())),
            Step::Put(value) => {
                let body = self.encode(&value, Some(current))?;
                if dry_run {
                    return Ok(Outcome::Stored(body, current.version()));
                }
                let version = self.put(storage, current.key(), expect, &body).await?;
                Ok(Outcome::Stored(body, version))
            }
            Step::Delete(value) => {
                if !dry_run {
                    let key = self.store_key(current.key());
                    storage.store.write(&key, expect, Change::Delete).await?;
                }
                Ok(Outcome::Gone(value))
            }
        }
    }

    fn encode(&self, value: &Value, old: Option<&Object>) -> Result<Body, Failure> {
        let body = Body::encode(&self.kind, value);
        room::check(&self.kind, old, value, &body)?;
        Ok(body)
    }

    /// Writes a body, under a lease that ends if its kind expires.
    async fn put(
        &self,
        storage: &Storage,
        key: &str,
        expect: Expect,
        body: &Body,
    ) -> Result<Version, Error> {
        let key = self.store_key(key);
        let put = |lease| Change::Put { value: body.bytes().clone(), lease };
        if !self.expires {
            return storage.store.write(&key, expect, put(None)).await;
        }
        let lease = storage.leases.lease(&*storage.store).await?;
        match storage.store.write(&key, expect, put(Some(lease))).await {
            Err(Error::LeaseNotFound(_)) => {
                let lease = storage.leases.replace(&*storage.store, lease).await?;
                storage.store.write(&key, expect, put(Some(lease))).await
            }
            written => written,
        }
    }
}

/// Why a step was not carried out.
enum Refusal {
    /// The record is another by now, or gone.
    Changed(Option<Record>),
    Failed(Failure),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::Conflict { current } => Self::Changed(current),
            error => Self::Failed(error.into()),
        }
    }
}

/// What all resources write to.
pub(crate) struct Storage {
    pub(crate) store: Arc<dyn Store>,
    leases: Leases,
}

impl Storage {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, leases: Leases::default() }
    }
}

/// How a client is told what the store said.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::TooLarge { limit, .. } => Self::too_large(limit),
            Error::Future { asked, newest } => Self::timeout_future(asked.0, newest.0),
            Error::Compacted { .. } => Self::expired(error.to_string(), None),
            Error::Unavailable(_) | Error::Lagged => Self::unavailable(with_causes(&error)),
            Error::Conflict { .. }
            | Error::LeaseNotFound(_)
            | Error::NoSpace(_)
            | Error::Corrupt { .. } => Self::internal(with_causes(&error)),
        }
    }
}

/// An error and its causes in one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
