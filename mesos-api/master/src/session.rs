//! One framework in one term: its calls in order, its stream, its tasks' updates.
//!
//! ```text
//!  calls ──► queue [MAX_CALLS] ──► job by job (subscribe, accept, kill, …) ──► market, writer
//!                                        │ sets                 ▲ acknowledge
//!                                        ▼                      ▼
//!                                      live stream ◄── passes over what changed (updates, lifecycle)
//!                                        ▲
//!                                        └── notices of the market (offers)
//! ```
//!
//! **Invariants:** the calls of one framework are carried out one after the other, those of different
//! frameworks at the same time. At most one stream is live; what is sent goes to it or nowhere.

mod accept;
mod calls;
pub(crate) mod events;
mod give_way;
mod life;
mod messages;
mod offers;
mod orders;
mod pass;
pub(crate) mod stream;
mod subscribe;
mod update;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use kube::ResourceExt as _;
use meseta_mesos_wire::Encoding;
use meseta_mesos_wire::v1::FrameworkInfo;
use meseta_mesos_wire::v1::scheduler::Event;
use meseta_serve::BodyRoom;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::core::framework::{self, Capabilities};
use crate::core::rows::TaskRow;
use crate::core::updates::Delivery;
use crate::server::answer::Refusal;
use crate::server::body::LIMITS;
use crate::sync::Office;

pub(crate) use self::calls::{Job, Waiting};
pub(crate) use self::subscribe::Subscription;

/// Calls of one framework that wait for their turn; the connections of others wait.
const MAX_CALLS: usize = 64;
/// Their bytes; what goes beyond is refused.
const MAX_CALL_BYTES: usize = 32 * 1024 * 1024;
/// Messages of one framework to its executors that wait.
const MAX_MESSAGES: usize = 64;

/// Pause before a stream without room is looked at again.
const ROOM: Duration = Duration::from_millis(20);
/// Events and tasks that are dealt with before others get their turn.
const MAX_AT_ONCE: usize = 256;

/// See the module; shared.
pub(crate) struct Session {
    pub(crate) framework_id: String,
    office: Arc<Office>,
    jobs: mpsc::Sender<Job>,
    /// What its calls that wait may take.
    share: Arc<Semaphore>,
    messages: mpsc::Sender<messages::Outgoing>,
    /// Tasks are to be looked at.
    wake: Notify,
    /// The framework itself is to be looked at.
    life: Notify,
    stop: CancellationToken,
    /// Held while offers are declined by what the framework is known to want, and while that changes.
    declining: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The framework's record, once there is one.
    record: Option<Record>,
    live: Option<Live>,
    /// Whether its scheduler asked for its end.
    torn_down: bool,
    /// Whether a SUBSCRIBE is being carried out.
    subscribing: bool,
    /// Since when it is connected, or is not; see [`meseta_runtime::uptime_millis`].
    since: Option<i64>,
    /// Streams so far.
    streams: u64,
    /// Agents that are not heard of any more, and of which it was not told yet.
    lost_agents: BTreeSet<String>,
    /// By name of the task's record, with its uid.
    deliveries: BTreeMap<String, (String, Delivery)>,
}

/// What is known of the framework.
#[derive(Clone)]
struct Record {
    name: String,
    uid: String,
    info: FrameworkInfo,
    capabilities: Capabilities,
    roles: Vec<String>,
}

/// The stream of the scheduler that is subscribed.
struct Live {
    /// As in `Mesos-Stream-Id`.
    id: String,
    number: u64,
    encoding: Encoding,
    sender: stream::Sender,
}

impl Session {
    /// A session without a record or a stream; it works until the office or itself is stopped.
    pub(crate) fn start(office: Arc<Office>, framework_id: String) -> Arc<Self> {
        let (jobs, queue) = mpsc::channel(MAX_CALLS);
        let (messages, outgoing) = mpsc::channel(MAX_MESSAGES);
        let stop = office.stop.child_token();
        let session = Arc::new(Self {
            framework_id,
            office,
            jobs,
            share: Arc::new(Semaphore::new(MAX_CALL_BYTES / LIMITS.unit_bytes)),
            messages,
            wake: Notify::new(),
            life: Notify::new(),
            stop: stop.clone(),
            declining: tokio::sync::Mutex::default(),
            state: Mutex::default(),
        });
        let [calls, passes, life, delivery] = std::array::from_fn(|_| Arc::clone(&session));
        tokio::spawn(async move {
            let work = async {
                tokio::join!(
                    calls.work(queue),
                    passes.look_after(),
                    life.live(),
                    delivery.deliver(outgoing)
                )
            };
            stop.run_until_cancelled(Box::pin(work)).await;
        });
        session
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over the framework of a record that is there already.
    pub(crate) fn adopt(&self, name: &str) {
        let Some(record) = self.office.rows.framework(name) else { return };
        let Some(info) = framework::info_of(&record) else {
            return tracing::warn!(framework = name, "the record holds no FrameworkInfo");
        };
        let mut state = self.lock();
        state.record.get_or_insert_with(|| Record {
            name: name.to_owned(),
            uid: record.uid().unwrap_or_default(),
            capabilities: Capabilities::of(&info),
            roles: framework::roles_of(&info),
            info,
        });
    }

    /// Asks for a look at everything that changed.
    pub(crate) fn look(&self) {
        self.wake.notify_one();
        self.life.notify_one();
    }

    /// Takes in that an agent is not heard of any more, or is again.
    pub(crate) fn agent_changed(&self, agent: &str, reachable: bool) {
        let mut state = self.lock();
        if reachable {
            state.lost_agents.remove(agent);
        } else {
            state.lost_agents.insert(agent.to_owned());
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Checks that a call that is not SUBSCRIBE comes from the scheduler that is subscribed.
    ///
    /// # Errors
    /// 400, 403.
    pub(crate) fn check(
        &self,
        principal: Option<&str>,
        stream_id: Option<&str>,
    ) -> Result<(), Refusal> {
        let state = self.lock();
        let Some(record) = &state.record else {
            return Err(Refusal::bad_request("Framework cannot be found"));
        };
        let own = record.info.principal.as_deref();
        if let Some(principal) = principal
            && own != Some(principal)
        {
            return Err(Refusal::bad_request(format!(
                "Authenticated principal '{principal}' does not match principal '{}' set in \
                 `FrameworkInfo`",
                own.unwrap_or_default()
            )));
        }
        let Some(live) = &state.live else {
            return Err(Refusal::forbidden("Framework is not subscribed"));
        };
        match stream_id {
            None => Err(Refusal::bad_request(
                "All non-subscribe calls should include the 'Mesos-Stream-Id' header",
            )),
            Some(id) if id != live.id => Err(Refusal::bad_request(format!(
                "The stream ID '{id}' included in this request didn't match the stream ID \
                 currently associated with framework ID '{}'",
                self.framework_id
            ))),
            Some(_) => Ok(()),
        }
    }

    /// A call as it waits for its turn.
    ///
    /// # Errors
    /// 503 where too much of this framework waits already.
    pub(crate) fn waiting(
        &self,
        bytes: Bytes,
        encoding: Encoding,
        room: BodyRoom,
    ) -> Result<Waiting, Refusal> {
        let share = Arc::clone(&self.share).try_acquire_many_owned(room.units()).map_err(|_| {
            Refusal::unavailable("Too many calls of this framework wait for their turn")
        })?;
        Ok(Waiting { bytes, encoding, _held: (room, share) })
    }

    /// Queues a job; waits for a place.
    ///
    /// # Errors
    /// 503 where the term ends, 400 where the framework does.
    pub(crate) async fn queue(&self, job: Job) -> Result<(), Refusal> {
        let ended = || {
            if self.office.stop.is_cancelled() {
                return Refusal::unavailable("This master does not lead any more");
            }
            Refusal::bad_request("Framework cannot be found")
        };
        let sent = self.stop.run_until_cancelled(self.jobs.send(job)).await;
        sent.ok_or_else(ended)?.map_err(|_| ended())
    }

    /// Sends an event to whoever is subscribed.
    pub(crate) fn send(&self, event: &Event) {
        self.lock().send(event);
    }

    /// Sends events one after the other to the stream that is live now, as fast as it reads, and
    /// lets others work in between. Says whether it was live to the end.
    async fn send_all(&self, events: impl Iterator<Item = Event> + Send) -> bool {
        let number = self.lock().live.as_ref().map(|live| live.number);
        if number.is_none() {
            return false;
        }
        for (sent, event) in events.enumerate() {
            while !self.has_room() {
                tokio::time::sleep(ROOM).await;
            }
            if sent % MAX_AT_ONCE == MAX_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
            let state = self.lock();
            let open = |live: &&Live| Some(live.number) == number && !live.sender.is_closed();
            if state.live.as_ref().filter(open).is_none() {
                return false;
            }
            state.send(&event);
        }
        true
    }

    /// Whether what can wait may be sent to whoever is subscribed, if anybody is.
    fn has_room(&self) -> bool {
        self.lock().live.as_ref().is_none_or(|live| live.sender.has_room())
    }

    /// Ends the stream and everything that runs.
    pub(crate) fn end(&self) {
        self.stop.cancel();
        self.lock().live = None;
    }

    fn record(&self) -> Option<Record> {
        self.lock().record.clone()
    }
}

impl State {
    /// What is remembered of a task's updates.
    fn delivery(&mut self, row: &TaskRow) -> &mut Delivery {
        let (uid, delivery) = self.deliveries.entry(row.name.clone()).or_default();
        if *uid != row.uid {
            // Of an earlier record of that name.
            uid.clone_from(&row.uid);
            *delivery = Delivery::default();
        }
        delivery
    }

    fn send(&self, event: &Event) {
        if let Some(live) = self.live.as_ref().filter(|live| !live.sender.is_closed()) {
            // One that is closed is seen to be gone by whoever waits for that.
            live.sender.send(events::record(live.encoding, event)).ok();
        }
    }
}
