//! Stores that fail, and what two servers agree on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use futures::future::BoxFuture;
use meseta_pki::CertificateAuthority;
use meseta_store::memory::MemoryStore;
use meseta_store::{Change, Error, Expect, LeaseId, Page, Record, Store, Version, Watch};
use serde_json::{Value, json};

use crate::world::{TASKS, World, task};

/// A store in memory that does not write, or does not answer, while it is told so.
struct Faulty {
    store: MemoryStore,
    fault: AtomicU8,
}

const NONE: u8 = 0;
const NO_SPACE: u8 = 1;
const UNAVAILABLE: u8 = 2;

impl Faulty {
    fn set(&self, fault: u8) {
        self.fault.store(fault, Ordering::Relaxed);
    }

    fn write_fault(&self) -> Result<(), Error> {
        match self.fault.load(Ordering::Relaxed) {
            NO_SPACE => Err(Error::NoSpace("the disk is full".into())),
            UNAVAILABLE => Err(Error::Unavailable("no answer".into())),
            _ => Ok(()),
        }
    }

    fn read_fault(&self) -> Result<(), Error> {
        match self.fault.load(Ordering::Relaxed) {
            UNAVAILABLE => Err(Error::Unavailable("no answer".into())),
            _ => Ok(()),
        }
    }
}

impl Store for Faulty {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Record>, Error>> {
        Box::pin(async move {
            self.read_fault()?;
            self.store.get(key).await
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
        at: Option<Version>,
    ) -> BoxFuture<'a, Result<Page, Error>> {
        self.store.list(prefix, after, limit, at)
    }

    fn write<'a>(
        &'a self,
        key: &'a str,
        expect: Expect,
        change: Change,
    ) -> BoxFuture<'a, Result<Version, Error>> {
        Box::pin(async move {
            self.write_fault()?;
            self.store.write(key, expect, change).await
        })
    }

    fn watch<'a>(&'a self, prefix: &'a str, after: Version) -> BoxFuture<'a, Result<Watch, Error>> {
        self.store.watch(prefix, after)
    }

    fn version(&self) -> BoxFuture<'_, Result<Version, Error>> {
        Box::pin(async move {
            self.read_fault()?;
            self.store.version().await
        })
    }

    fn request_progress(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.store.request_progress()
    }

    fn compact(&self, version: Version) -> BoxFuture<'_, Result<(), Error>> {
        self.store.compact(version)
    }

    fn grant_lease(&self, ttl_seconds: i64) -> BoxFuture<'_, Result<LeaseId, Error>> {
        self.store.grant_lease(ttl_seconds)
    }

    fn renew_lease(&self, lease: LeaseId) -> BoxFuture<'_, Result<(), Error>> {
        self.store.renew_lease(lease)
    }

    fn revoke_lease(&self, lease: LeaseId) -> BoxFuture<'_, Result<(), Error>> {
        self.store.revoke_lease(lease)
    }

    fn generation(&self) -> &str {
        self.store.generation()
    }
}

#[tokio::test]
async fn nothing_is_acknowledged_that_is_not_stored() {
    let store = Arc::new(Faulty { store: MemoryStore::new(), fault: AtomicU8::new(NONE) });
    let world = World::over(store.clone()).await;
    let created = world.create("a", json!({})).await;
    assert_eq!(world.get(TASKS).await.ok()["items"], json!([created]));
    let path = format!("{TASKS}/a");

    store.set(NO_SPACE);
    let full = world.post(TASKS, &task("b", &json!({}))).await.refusal();
    assert_eq!(full.0, 500);
    assert!(full.2.contains("the store has no room: the disk is full"), "{}", full.2);
    let patch = json!({"spec": {"priority": 1}});
    assert_eq!(world.merge(&path, &patch).await.refusal().0, 500);
    assert_eq!(world.delete(&path, &Value::Null).await.refusal().0, 500);
    assert_eq!(world.get(&path).await.ok(), created, "reads go on");

    store.set(UNAVAILABLE);
    for answer in [
        world.post(TASKS, &task("b", &json!({}))).await,
        world.merge(&path, &patch).await,
        world.get(&path).await,
        world.get(TASKS).await,
    ] {
        let (code, reason, _) = answer.refusal();
        assert_eq!((code, reason.as_str()), (503, "ServiceUnavailable"));
    }
    let any = world.get(&format!("{TASKS}?resourceVersion=0")).await.ok();
    assert_eq!(any["items"], json!([created]), "what any version answers comes from memory");

    store.set(NONE);
    assert_eq!(world.get(TASKS).await.ok()["items"], json!([created]));
}

#[tokio::test]
async fn two_control_planes_get_the_same_authority() {
    let store = MemoryStore::new();
    let get = || meseta_api_server::authority(&store, None);
    let (one, two) = tokio::join!(get(), get());
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one.certificate_pem(), two.certificate_pem());
    assert_eq!(one.key_pem(), two.key_pem());
}

#[tokio::test]
async fn an_authority_that_was_kept_outlives_its_store() {
    let kept = CertificateAuthority::generate().unwrap();
    let store = MemoryStore::new();
    let again = meseta_api_server::authority(&store, Some(&kept)).await.unwrap();
    assert_eq!(again.certificate_pem(), kept.certificate_pem());
    let other = CertificateAuthority::generate().unwrap();
    let stored = meseta_api_server::authority(&store, Some(&other)).await.unwrap();
    assert_eq!(stored.certificate_pem(), kept.certificate_pem(), "what is stored wins");
}
