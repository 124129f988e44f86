//! Carries out what a task's life asks for, and tells it what happens.

mod effects;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use meseta_mesos_agent::Standing;
use meseta_shim_api::RunRequest;
use tokio::sync::watch;

use super::life::{Event, Life, State};
use super::outcome::Failure;
use super::progress::report_progress;
use super::recover::Recovered;
use super::run::Run;
use super::wish::Wish;
use crate::checkpoint::{Accepted, StopCause};
use crate::images::Pin as ImagePin;
use crate::mesos::executor::Executor;
use crate::node::{Node, unix_millis};
use crate::report::{Mirror, Record, View};

/// Longest sleep before the clock is looked at again: somebody may set it.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// What is prepared: the request to the shim, and the image that must stay.
pub(super) type Staged = Result<(RunRequest, Option<ImagePin>), Failure>;

struct Driver<'a> {
    node: &'a Arc<Node>,
    life: Life,
    run: Option<Run>,
    staging: Option<Pin<Box<dyn Future<Output = Staged> + Send>>>,
    /// What the launch that follows needs.
    request: Option<RunRequest>,
    /// Keeps the layers of the current run from being collected.
    image: Option<ImagePin>,
    /// Set where the container is an executor.
    executor: Option<Arc<Executor>>,
    /// What the executor API says of it, once it may subscribe.
    standing: Option<watch::Receiver<Standing>>,
    /// Events that follow from what was just done.
    pending: Vec<Event>,
    views: watch::Sender<View>,
}

/// Drives a task to its end, and reports on the way.
///
/// Dropping the future leaves everything as it is: the disk says where it was.
///
/// # Errors
/// The agent's directory cannot be read or written.
pub(super) async fn drive(
    node: &Arc<Node>,
    recovered: Recovered,
    image: Option<ImagePin>,
    executor: Option<Arc<Executor>>,
    mirror: &mut Mirror,
) -> io::Result<Life> {
    let Recovered { life, effects, mut events } = recovered;
    let (views, told) = watch::channel(View::of(&life, unix_millis()));
    // Taken from its end.
    events.reverse();
    let mut driver = Driver {
        node,
        life,
        run: None,
        staging: None,
        request: None,
        image,
        executor,
        standing: None,
        pending: events,
        views,
    };
    driver.listen_to_executor();
    for effect in effects {
        driver.carry_out(effect).await?;
    }
    if matches!(driver.life.state, State::Starting { .. } | State::Stopping { .. }) {
        driver.runs(Run::attach(node, &driver.life.accepted));
    }
    let mut record = mirror.clone();
    let reporting = report_progress(node, mirror, told);
    tokio::select! {
        life = driver.live(&mut record) => life,
        () = reporting => unreachable!("reporting does not end"),
    }
}

impl Driver<'_> {
    async fn live(mut self, record: &mut Mirror) -> io::Result<Life> {
        loop {
            while let Some(event) = self.pending.pop() {
                self.meet(event).await?;
            }
            if self.life.outcome().is_some() {
                return Ok(self.life);
            }
            if let Some(event) = wanted(&record.current(), &self.life) {
                self.meet(event).await?;
                continue;
            }
            let event = self.next_event(record).await?;
            if let Some(event) = event {
                self.meet(event).await?;
            }
        }
    }

    /// What happens next; `None` where the record has changed.
    async fn next_event(&mut self, record: &mut Mirror) -> io::Result<Option<Event>> {
        let wake = sleep_until(self.life.wake_at());
        let staged = async {
            match &mut self.staging {
                Some(staging) => staging.await,
                None => std::future::pending().await,
            }
        };
        let happens = async {
            match &mut self.run {
                Some(run) => run.next().await,
                None => std::future::pending().await,
            }
        };
        let told = async {
            let changed = match &mut self.standing {
                Some(standing) => standing.changed().await.is_ok(),
                None => false,
            };
            // One that was forgotten has no container any more, whose end is told.
            if !changed {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            event = happens => event.map(Some),
            staged = staged => Ok(Some(self.staged(staged))),
            () = told => Ok(self.told_by_executor()),
            () = record.changed() => Ok(None),
            () = wake => Ok(Some(Event::Tick)),
        }
    }

    /// Attaches to a run.
    fn runs(&mut self, run: Run) {
        if let Some(executor) = &self.executor {
            let Accepted { uid, run, .. } = &self.life.accepted;
            executor.runs_in(self.node.cgroup(uid, *run));
        }
        self.run = Some(run);
    }

    /// Hears from now on what the executor API says, if it does.
    fn listen_to_executor(&mut self) {
        let executor = self.executor.as_ref();
        self.standing = executor.and_then(|executor| executor.standing.borrow().clone());
        if let Some(standing) = &mut self.standing {
            // What it says already is news here.
            standing.mark_changed();
        }
    }

    /// What follows from what the executor API says.
    fn told_by_executor(&mut self) -> Option<Event> {
        let (Some(executor), Some(standing)) = (&self.executor, &mut self.standing) else {
            return None;
        };
        let standing = standing.borrow_and_update().clone();
        self.node.mesos.registry.notify_tasks_of(&executor.uid);
        let (cause, grace_millis) = if standing.overdue {
            (StopCause::NotSubscribed, 0)
        } else if standing.unneeded {
            (StopCause::Unneeded, self.life.accepted.grace_millis())
        } else {
            return None;
        };
        let heeded = self.life.heeds_stop(grace_millis, unix_millis());
        heeded.then_some(Event::StopWanted { cause, grace_millis })
    }

    fn staged(&mut self, staged: Staged) -> Event {
        self.staging = None;
        match staged {
            Ok((request, image)) => {
                self.listen_to_executor();
                self.request = Some(request);
                self.image = image;
                Event::Staged
            }
            Err(failure) => Event::NotStaged(failure),
        }
    }

    async fn meet(&mut self, event: Event) -> io::Result<()> {
        let now = unix_millis();
        let before = std::mem::discriminant(&self.life.state);
        let (life, effects) = match self.life.clone().next(event, now) {
            Ok(next) => next,
            Err(rejected) => {
                // The shell has told something that cannot be: nothing is done about it.
                let error = &rejected as &dyn std::error::Error;
                tracing::error!(error, uid = self.life.accepted.uid, "event rejected");
                return Ok(());
            }
        };
        self.life = life;
        for effect in effects {
            self.carry_out(effect).await?;
        }
        if std::mem::discriminant(&self.life.state) != before {
            let state = &self.life.state;
            tracing::info!(task = self.life.accepted.name, ?state, "task");
            self.views.send_replace(View::of(&self.life, now));
        }
        Ok(())
    }
}

/// What the record wants of a task that has not ended, and that is not under way already.
fn wanted(record: &Record, life: &Life) -> Option<Event> {
    let wish = Wish::of(record)?;
    let grace_millis = wish.grace_millis(life.accepted.grace_millis());
    let heeded = life.heeds_stop(grace_millis, unix_millis());
    heeded.then_some(Event::StopWanted { cause: wish.cause, grace_millis })
}

/// Sleeps until a time in milliseconds since 1970, or long enough to look again.
async fn sleep_until(unix_millis_due: Option<i64>) {
    let Some(due) = unix_millis_due else { return std::future::pending().await };
    let left = u64::try_from(due - unix_millis()).unwrap_or(0);
    tokio::time::sleep(Duration::from_millis(left).min(LONGEST_SLEEP)).await;
}
