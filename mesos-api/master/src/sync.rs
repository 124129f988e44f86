//! One term of the gateway: rows, and a session for each framework.
//!
//! ```text
//!  Leading(term) ─► office: watches ─► rows ─► changed uids ─► sessions (one pass each)
//!                     │ listed: calls are taken
//!  term ended ──────► everything of the office is dropped, streams end
//! ```
//!
//! **Invariant:** nothing of one term is seen by the next: it begins from a list.

mod crowd;
mod messages;
mod orphans;
pub(crate) mod rows;
mod steps;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::ResourceExt as _;
use meseta_crds::Framework;
use meseta_runtime::{Leadership, Term, uptime_millis};
use tokio_util::sync::CancellationToken;

use self::crowd::MAX_FRAMEWORKS;
use self::rows::{Changed, Rows};
use crate::address::Advertised;
use crate::core::ids;
use crate::core::lifecycle::{Completed, Start};
use crate::server::decoding::Decoding;
use crate::session::Session;

/// The gateway across terms.
pub(crate) struct Gateway {
    pub(crate) advertised: Advertised,
    pub(crate) namespace: String,
    pub(crate) client: kube::Client,
    pub(crate) agents: meseta_serve::Client,
    /// What decoded calls may take.
    pub(crate) decoding: Decoding,
    /// That of the term, once its rows are listed.
    office: Mutex<Option<Arc<Office>>>,
}

impl Gateway {
    pub(crate) fn new(
        advertised: Advertised,
        namespace: String,
        client: kube::Client,
        agents: meseta_serve::Client,
    ) -> Arc<Self> {
        Arc::new(Self {
            advertised,
            namespace,
            client,
            agents,
            decoding: Decoding::default(),
            office: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Office>>> {
        self.office.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The office of the term, if this process leads and has listed everything.
    pub(crate) fn office(&self) -> Option<Arc<Office>> {
        self.lock().clone().filter(|office| !office.stop.is_cancelled())
    }

    /// Runs the office of each term until `shutdown` or the end of the controllers.
    pub(crate) async fn run(
        self: Arc<Self>,
        mut leadership: tokio::sync::watch::Receiver<Leadership>,
        shutdown: CancellationToken,
    ) {
        loop {
            let term = tokio::select! {
                term = next_term(&mut leadership) => term,
                () = shutdown.cancelled() => None,
            };
            let Some(term) = term else { return };
            tracing::info!(epoch = term.epoch, "the Mesos gateway begins");
            let ended = term.ended.clone();
            let office = Office::new(Arc::clone(&self), term);
            // Also when this future is dropped.
            let stop = office.stop.clone().drop_guard();
            tokio::select! {
                () = office.run() => {}
                () = ended.cancelled() => {}
                () = shutdown.cancelled() => {}
            }
            self.lock().take();
            drop(stop);
            office.close();
        }
    }
}

async fn next_term(leadership: &mut tokio::sync::watch::Receiver<Leadership>) -> Option<Term> {
    let leading = |leadership: &Leadership| match leadership {
        Leadership::Leading(term) => !term.ended.is_cancelled(),
        Leadership::Following(_) | Leadership::Unknown => false,
    };
    match leadership.wait_for(leading).await.as_deref() {
        Ok(Leadership::Leading(term)) => Some(term.clone()),
        Ok(Leadership::Following(_) | Leadership::Unknown) | Err(_) => None,
    }
}

/// The gateway in one term.
pub(crate) struct Office {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) term: Term,
    /// Also the beginning of the framework ids of this term.
    pub(crate) master_id: String,
    pub(crate) rows: Rows,
    /// When it began.
    pub(crate) began: Start,
    /// Cancelled when it ends.
    pub(crate) stop: CancellationToken,
    sessions: Mutex<Sessions>,
    listeners: messages::Listeners,
}

#[derive(Default)]
struct Sessions {
    by_id: BTreeMap<String, Arc<Session>>,
    /// By uid of the framework's record.
    by_uid: BTreeMap<String, Arc<Session>>,
    completed: Completed,
    /// How many ids were given out.
    given: u64,
    /// Agents that were heard of.
    reachable: BTreeSet<String>,
}

/// There are too many frameworks.
pub(crate) struct TooMany;

impl Office {
    fn new(gateway: Arc<Gateway>, term: Term) -> Arc<Self> {
        let stop = term.ended.child_token();
        Arc::new(Self {
            gateway,
            term,
            master_id: uuid::Uuid::new_v4().to_string(),
            rows: Rows::default(),
            began: Start { uptime: uptime_millis(), wall: now() },
            stop,
            sessions: Mutex::default(),
            listeners: messages::Listeners::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(self: &Arc<Self>) {
        let (synced, mut listed) = tokio::sync::watch::channel(false);
        let gateway = &self.gateway;
        let follow = watch::follow(gateway.client.clone(), &gateway.namespace, &self.rows, &synced);
        let look = async {
            if listed.wait_for(|listed| *listed).await.is_err() {
                return;
            }
            for framework in self.rows.frameworks() {
                self.session_of(&framework);
            }
            *gateway.lock() = Some(Arc::clone(self));
            tracing::info!(frameworks = self.lock().by_id.len(), "schedulers are served");
            loop {
                let changed = self.rows.changed().await;
                self.wake(&changed);
            }
        };
        tokio::join!(follow, look);
    }

    /// Passes on what has changed.
    fn wake(self: &Arc<Self>, changed: &Changed) {
        for uid in &changed.frameworks {
            let session = self.lock().by_uid.get(uid).cloned();
            let session = session.or_else(|| {
                let frameworks = self.rows.frameworks();
                let framework = frameworks.iter().find(|f| f.uid().as_ref() == Some(uid))?;
                self.session_of(framework)
            });
            match session {
                Some(session) => session.look(),
                None => self.look_for_orphans(uid),
            }
        }
        for agent in &changed.agents {
            self.agent_changed(agent);
        }
    }

    /// Passes on that an agent is not heard of any more, or is again.
    fn agent_changed(&self, agent: &str) {
        let reachable = self.rows.agent(agent).is_some_and(|row| row.unreachable_since.is_none());
        let sessions: Vec<Arc<Session>> = {
            let mut sessions = self.lock();
            let news = match reachable {
                true => sessions.reachable.insert(agent.to_owned()),
                false => sessions.reachable.remove(agent),
            };
            if !news {
                return;
            }
            sessions.by_id.values().cloned().collect()
        };
        sessions.iter().for_each(|session| session.agent_changed(agent, reachable));
    }

    /// The session of a framework's record; none where the record is not that of a scheduler.
    fn session_of(self: &Arc<Self>, framework: &Framework) -> Option<Arc<Session>> {
        let id = framework.spec.scheduler.as_ref()?.framework_id.clone();
        let mut sessions = self.lock();
        let session = match sessions.by_id.get(&id) {
            Some(session) => Arc::clone(session),
            None => {
                let session = Session::start(Arc::clone(self), id.clone());
                sessions.by_id.insert(id, Arc::clone(&session));
                session
            }
        };
        drop(sessions);
        session.adopt(&framework.name_any());
        self.bind(&framework.uid().unwrap_or_default(), &session);
        Some(session)
    }

    /// Says whose the record with this uid is.
    pub(crate) fn bind(&self, uid: &str, session: &Arc<Session>) {
        self.lock().by_uid.insert(uid.to_owned(), Arc::clone(session));
    }

    /// The session of a framework.
    pub(crate) fn session(&self, framework_id: &str) -> Option<Arc<Session>> {
        self.lock().by_id.get(framework_id).cloned()
    }

    /// All sessions.
    fn sessions(&self) -> Vec<Arc<Session>> {
        self.lock().by_id.values().cloned().collect()
    }

    /// The session of a framework that subscribes, under its id or a new one; where there are many
    /// frameworks, another ends for it.
    ///
    /// # Errors
    /// [`TooMany`].
    pub(crate) fn session_or_new(
        self: &Arc<Self>,
        framework_id: Option<&str>,
    ) -> Result<Arc<Session>, TooMany> {
        let mut sessions = self.lock();
        if let Some(session) = framework_id.and_then(|id| sessions.by_id.get(id)) {
            return Ok(Arc::clone(session));
        }
        let begun = (sessions.by_id.len() < MAX_FRAMEWORKS).then(|| {
            let id = framework_id.map_or_else(
                || {
                    sessions.given += 1;
                    ids::framework_id(&self.master_id, sessions.given - 1)
                },
                str::to_owned,
            );
            let session = Session::start(Arc::clone(self), id.clone());
            sessions.by_id.insert(id, Arc::clone(&session));
            session
        });
        drop(sessions);
        self.thin_out();
        begun.ok_or(TooMany)
    }

    /// Whether a framework of this id has ended and may not come back.
    pub(crate) fn is_completed(&self, framework_id: &str) -> bool {
        self.lock().completed.contains(framework_id)
    }

    /// Forgets a session: its framework is gone (`completed`), or was never stored.
    pub(crate) fn forget(&self, session: &Session, completed: bool) {
        let mut sessions = self.lock();
        sessions.by_id.remove(&session.framework_id);
        sessions.by_uid.retain(|_, other| other.framework_id != session.framework_id);
        if completed {
            sessions.completed.insert(session.framework_id.clone());
        }
    }

    /// Ends all streams.
    fn close(&self) {
        let sessions = std::mem::take(&mut *self.lock());
        sessions.by_id.values().for_each(|session| session.end());
    }
}

/// Milliseconds since 1970: for what is told. What is waited for goes by [`uptime_millis`].
pub(crate) fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
