//! A simulated scheduler, together with what a gateway does for it: it takes every offer and launches
//! tasks of one size on it, until as many have finished as are wanted.
//!
//! ```text
//!  handles ──► the term in effect ──► seat ──► offers ──► plan ──► take, launch ──┐
//!  records ──► rows ────────────────────────────────────────┘                     │
//!    ▲                                                                            │
//!    └── what became of launches that nobody answered: a list in the next term ◄──┘
//! ```
//!
//! A task has a number, and one record more for each time that it was not run: `<name>-<number>-<r>`.
//! As a real gateway does, it goes by the records alone when the leader has changed.
//!
//! **Invariant:** a number is launched again only if no record of it is alive or has finished, as far
//! as a list shows that is newer than the last launch of it.

mod rows;

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::{ListParams, PostParams};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use meseta_crds::{FRAMEWORK_LABEL, Framework, ResourceList, Task};
use meseta_runtime::{
    Ended, Handle, LaunchError, Leadership, LiveOffer, Market, Notice, Seat, Term,
};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::rows::Rows;

/// Namespace of all that it makes.
const NAMESPACE: &str = "default";
/// Time between two looks at who leads, and pause after something that failed.
const PAUSE: Duration = Duration::from_millis(20);
/// How long it refuses what it has no use for.
const FILTER: Duration = Duration::from_secs(3600);

/// What a scheduler wants.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// Name of its framework.
    pub name: String,
    /// Path of the role whose share it uses.
    pub role: String,
    /// Number of tasks that are to finish.
    pub tasks: usize,
    /// What each needs.
    pub needs: ResourceList,
}

/// What it has done and seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Offers that it was made.
    pub offered: usize,
    /// Tasks whose record was stored, by the answer.
    pub launched: usize,
    /// Tasks that were not launched, by the answer.
    pub refused: usize,
    /// Launches that the end of a term answered.
    pub unanswered: usize,
    /// Tasks that have finished, by their records.
    pub finished: usize,
}

/// A running scheduler; it ends when it is dropped.
#[derive(Debug)]
pub struct Scheduler {
    done: watch::Receiver<Done>,
    task: JoinHandle<()>,
}

impl Scheduler {
    /// Creates its framework and runs it on the current runtime. `handles` are those of all control
    /// planes, whichever of them leads.
    ///
    /// # Errors
    /// The framework could not be created.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn start(
        client: Client,
        handles: watch::Receiver<Vec<Handle>>,
        wishes: Wishes,
    ) -> Result<Self, kube::Error> {
        let mut framework = Framework::new(&wishes.name, Default::default());
        framework.spec.role.clone_from(&wishes.role);
        framework.spec.scheduler = Some(meseta_crds::framework::Scheduler {
            framework_id: wishes.name.clone(),
            roles: vec![wishes.role.clone()],
            principal: None,
            failover_timeout_seconds: 0,
            framework_info: json!({"name": wishes.name}),
        });
        let frameworks: Api<Framework> = Api::namespaced(client.clone(), NAMESPACE);
        let framework = frameworks.create(&PostParams::default(), &framework).await?;
        let (sender, done) = watch::channel(Done::default());
        let rows = Rows::new(&wishes, framework.metadata.uid.unwrap_or_default());
        let running = Running { client, handles, wishes, rows, done: sender };
        Ok(Self { done, task: tokio::spawn(running.run()) })
    }

    /// What it has done so far.
    #[must_use]
    pub fn done(&self) -> Done {
        *self.done.borrow()
    }

    /// Waits until it has done what is wanted.
    pub async fn wait_for(&mut self, wanted: impl FnMut(&Done) -> bool) -> Done {
        self.done.wait_for(wanted).await.map(|done| *done).unwrap_or_default()
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Running {
    client: Client,
    handles: watch::Receiver<Vec<Handle>>,
    wishes: Wishes,
    rows: Rows,
    done: watch::Sender<Done>,
}

/// Something that was waited for.
enum Answer {
    /// A launch of these numbers; nothing if the term has ended.
    Launched(BTreeSet<usize>, Option<Vec<Result<Task, LaunchError>>>),
    /// Something that nothing depends on.
    Other,
}

type Calls = FuturesUnordered<BoxFuture<'static, Answer>>;

impl Running {
    async fn run(mut self) {
        let tasks: Api<Task> = Api::namespaced(self.client.clone(), NAMESPACE);
        let selector = format!("{FRAMEWORK_LABEL}={}", self.wishes.name);
        let mut events =
            watcher(tasks.clone(), watcher::Config::default().labels(&selector)).boxed();
        let parameters = ListParams::default().labels(&selector);
        loop {
            let Some(term) = self.term_after(0) else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            // Newer than anything that was launched in an earlier term, except what arrives late.
            let Ok(listed) = tasks.list(&parameters).await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            self.rows.begin(&listed.items);
            self.serve(&term, &mut events).await;
        }
    }

    /// The newest term that is later than `epoch`.
    fn term_after(&self, epoch: i64) -> Option<Term> {
        let handles = self.handles.borrow();
        let terms = handles.iter().filter_map(|handle| match &*handle.leadership().borrow() {
            Leadership::Leading(term) if !term.ended.is_cancelled() => Some(term.clone()),
            Leadership::Leading(_) | Leadership::Following(_) | Leadership::Unknown => None,
        });
        terms.filter(|term| term.epoch > epoch).max_by_key(|term| term.epoch)
    }

    /// Takes offers until the term has ended, or another has begun: its leader may be frozen.
    async fn serve(
        &mut self,
        term: &Term,
        events: &mut (impl futures::Stream<Item = watcher::Result<Event<Task>>> + Unpin),
    ) {
        let seat = Seat {
            namespace: NAMESPACE.to_owned(),
            framework: self.wishes.name.clone(),
            uid: self.rows.uid.clone(),
            roles: vec![self.wishes.role.clone()],
            suppressed: BTreeSet::new(),
        };
        let entered = tokio::select! {
            entered = term.market.enter(seat) => entered,
            () = self.superseded(term) => return,
        };
        let Ok(mut notices) = entered else { return };
        let mut calls = Calls::new();
        loop {
            tokio::select! {
                () = self.superseded(term) => break,
                notice = notices.recv() => match notice {
                    Some(Notice::Offered(offers)) => self.plan(term, offers, &calls),
                    Some(Notice::Rescinded(_)) => {}
                    None => break,
                },
                Some(answer) = calls.next() => self.take_in(term, answer, &calls),
                event = events.try_next() => match event {
                    Ok(Some(Event::Apply(task) | Event::InitApply(task))) => {
                        self.see(term, task, &calls);
                    }
                    Ok(Some(Event::Delete(_) | Event::Init | Event::InitDone)) => {}
                    Ok(None) => break,
                    Err(_) => tokio::time::sleep(PAUSE).await,
                },
            }
        }
    }

    /// Waits until a later term has begun, or this one has ended.
    async fn superseded(&self, term: &Term) {
        while self.term_after(term.epoch).is_none() && !term.ended.is_cancelled() {
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Launches on offers what is wanted, and declines those that are not used.
    fn plan(&mut self, term: &Term, offers: Vec<LiveOffer>, calls: &Calls) {
        self.done.send_modify(|done| done.offered += offers.len());
        for offer in offers {
            let numbers = self.rows.plan(&offer.resources, &self.wishes.needs);
            let tasks = self.rows.tasks(&self.wishes, &numbers);
            let (market, uid) = (term.market.clone(), self.rows.uid.clone());
            calls.push(Box::pin(async move {
                Answer::Launched(numbers, launch(&market, &uid, offer, tasks).await.ok())
            }));
        }
    }

    fn see(&mut self, term: &Term, task: Task, calls: &Calls) {
        let wanted = self.rows.see(&task);
        self.done.send_modify(|done| done.finished = self.rows.finished());
        if wanted {
            self.revive(term, calls);
        }
        let client = self.client.clone();
        calls.push(Box::pin(async move {
            if let Err(err) = rows::free(&client, &task).await {
                tracing::debug!(error = &err as &dyn std::error::Error, "not freed");
            }
            Answer::Other
        }));
    }

    fn revive(&self, term: &Term, calls: &Calls) {
        let (market, uid) = (term.market.clone(), self.rows.uid.clone());
        calls.push(Box::pin(async move {
            // The end of the term is seen elsewhere.
            let _ = market.revive(&uid, Vec::new()).await;
            Answer::Other
        }));
    }

    fn take_in(&mut self, term: &Term, answer: Answer, calls: &Calls) {
        let Answer::Launched(numbers, results) = answer else { return };
        let Some(results) = results else {
            self.done.send_modify(|done| done.unanswered += 1);
            return;
        };
        let mut refused = 0;
        for (number, result) in numbers.into_iter().zip(results) {
            match result {
                Ok(task) => {
                    self.rows.see(&task);
                    self.done.send_modify(|done| done.launched += 1);
                }
                // Somebody may have the name; the watch tells who.
                Err(_) => {
                    self.rows.give_up(number);
                    refused += 1;
                }
            }
        }
        if refused > 0 {
            self.done.send_modify(|done| done.refused += refused);
            self.revive(term, calls);
        }
    }
}

/// Launches on one offer; declines it where there is nothing to launch.
async fn launch(
    market: &Market,
    uid: &str,
    offer: LiveOffer,
    tasks: Vec<Task>,
) -> Result<Vec<Result<Task, LaunchError>>, Ended> {
    if tasks.is_empty() {
        market.decline(uid, vec![offer.id], FILTER).await?;
        return Ok(Vec::new());
    }
    match market.take(uid, vec![offer.id]).await? {
        Ok(taken) => market.launch(taken, tasks, FILTER).await,
        Err(_) => Ok(vec![Err(LaunchError::Gone); tasks.len()]),
    }
}
