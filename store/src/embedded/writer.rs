//! The thread that writes: group after group, each in one synced transaction.
//!
//! ```text
//!            ┌─► commit ──► publish ──► answer each ─┐
//!  next group┤                                       ├─► next group
//!            └─► fault ───► open anew ─► fail each ──┘
//! ```

use std::collections::VecDeque;
use std::error::Error as StdError;
use std::sync::{Arc, PoisonError, RwLockWriteGuard};
use std::time::{Duration, Instant};

use redb::Database;
use tokio::sync::watch;

use super::disk::Disk;
use super::group::{self, Group, Outcome};
use super::leases::Leases;
use super::queue::{Answer, Command, Commands, Done, Waiting};
use super::{Closed, Shared, engine, tables, unavailable};
use crate::cause::Cause;
use crate::watch::Signal;
use crate::{Error, LeaseId};

/// How long after a fault the file, leases that end and sweeping are tried again.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// The writer; see [`Writer::run`].
pub(super) struct Writer {
    shared: Arc<Shared>,
    /// Dropped after the file is closed: it holds the lock of the directory.
    disk: Box<dyn Disk>,
    signal: Arc<watch::Sender<Signal>>,
    commands: Commands,
    leases: Leases,
    /// Leases that end, in this order; they are no longer in `leases`.
    ending: VecDeque<Ending>,
    /// Whether a compaction left something to sweep.
    sweeping: bool,
    /// Whether the file has room inside that its full disk could use.
    shrinkable: bool,
    /// Whether the last group failed.
    faulty: bool,
}

/// A lease whose keys are being deleted, and who waits for it.
struct Ending {
    lease: LeaseId,
    waiting: Option<Waiting>,
}

/// How far a command has come.
enum Progress {
    /// It can be answered when the group is durable.
    Answered(Answer),
    /// It can be answered when this lease has ended.
    Ending(LeaseId),
}

/// Why a group failed, for each of its callers.
struct Failure {
    /// Whether it is certain that nothing was written, because there was no room.
    no_space: bool,
    cause: Cause<Error>,
}

impl Failure {
    fn error(&self) -> Error {
        let cause = Box::new(self.cause.clone());
        if self.no_space { Error::NoSpace(cause) } else { Error::Unavailable(cause) }
    }
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        disk: Box<dyn Disk>,
        signal: Arc<watch::Sender<Signal>>,
        commands: Commands,
        leases: Vec<(LeaseId, Duration)>,
    ) -> Self {
        Self {
            shared,
            disk,
            signal,
            commands,
            leases: Leases::begin(leases, Instant::now()),
            ending: VecDeque::new(),
            // The last run may have ended while it swept.
            sweeping: true,
            shrinkable: false,
            faulty: false,
        }
    }

    /// Serves until the queue is closed, then closes the file.
    pub(super) fn run(mut self) {
        while let Some(group) = self.commands.next_group(self.patience()) {
            let now = Instant::now();
            while let Some(lease) = self.leases.pop_due(now) {
                self.ending.push_back(Ending { lease, waiting: None });
            }
            self.serve(group);
        }
        *self.file() = None;
    }

    /// How long to wait for a command before there is something else to do.
    fn patience(&self) -> Option<Duration> {
        if self.faulty {
            return Some(RETRY_INTERVAL);
        }
        if self.sweeping || !self.ending.is_empty() {
            return Some(Duration::ZERO);
        }
        let end = self.leases.next_end()?;
        Some(end.saturating_duration_since(Instant::now()))
    }

    /// Carries out one group and answers it.
    fn serve(&mut self, mut group: VecDeque<Waiting>) {
        let mut answered = Vec::new();
        match self.open().and_then(|()| self.commit(&mut group, &mut answered)) {
            Ok(outcome) => {
                self.faulty = false;
                self.publish(outcome);
                for (waiting, answer) in answered {
                    waiting.settle(answer);
                }
                if std::mem::take(&mut self.shrinkable) {
                    self.shrink();
                }
            }
            Err(error) => {
                self.faulty = true;
                let ending = self.ending.drain(..).filter_map(|ending| ending.waiting);
                let mut failed: Vec<Waiting> = ending.chain(group).collect();
                failed.extend(answered.into_iter().map(|(waiting, _)| waiting));
                let failure = self.recover(error);
                for waiting in failed {
                    waiting.settle(Err(failure.error()));
                }
            }
        }
    }

    /// Carries out the group in one transaction; returns once it is durable. What can be answered
    /// then goes from `group` to `answered`.
    fn commit(
        &mut self,
        group: &mut VecDeque<Waiting>,
        answered: &mut Vec<(Waiting, Answer)>,
    ) -> Result<Outcome, Error> {
        let full = group::is_full(self.disk.as_ref());
        let shared = Arc::clone(&self.shared);
        let file = shared.file.read().unwrap_or_else(PoisonError::into_inner);
        let database = file.as_ref().ok_or_else(|| unavailable(Closed))?;
        let write = database.begin_write().map_err(engine)?;
        let mut changes = Group::begin(&write, full)?;
        while let Some(waiting) = group.front() {
            let progress = self.carry_out(&mut changes, &waiting.command)?;
            let waiting = group.pop_front().expect("it was there just now");
            match progress {
                Progress::Answered(answer) => answered.push((waiting, answer)),
                Progress::Ending(lease) => {
                    self.ending.push_back(Ending { lease, waiting: Some(waiting) });
                }
            }
        }
        while let Some(ending) = self.ending.front()
            && changes.end_lease(ending.lease)?
        {
            let ended = self.ending.pop_front().and_then(|ending| ending.waiting);
            answered.extend(ended.map(|waiting| (waiting, Ok(Done::default()))));
        }
        let swept = changes.sweep()?;
        self.sweeping = swept.more;
        self.shrinkable = full && swept.any && !swept.more;
        let outcome = changes.end();
        if outcome.changed {
            write.commit().map_err(engine)?;
        } else {
            write.abort().map_err(engine)?;
        }
        Ok(outcome)
    }

    /// Gives what was swept back to the disk, which nothing else does: redb keeps it for later.
    /// That moves pages from the end of the file forward and keeps readers waiting meanwhile, so it
    /// is done only where the disk is full.
    fn shrink(&mut self) {
        let result = self.file().as_mut().map(Database::compact).transpose();
        if let Err(error) = result {
            self.faulty = true;
            self.recover(engine(error));
        }
    }

    fn carry_out(&mut self, changes: &mut Group<'_>, command: &Command) -> Result<Progress, Error> {
        let unknown = |lease| Progress::Answered(Err(Error::LeaseNotFound(lease)));
        match command {
            Command::Write { key, expect, change } => {
                changes.write(&self.leases, key, *expect, change).map(Progress::Answered)
            }
            Command::Compact { version } => changes.compact(*version).map(Progress::Answered),
            Command::Grant { ttl_seconds } => {
                let answer = changes.grant(*ttl_seconds)?;
                if let Ok(done) = &answer {
                    self.leases.grant(done.lease, tables::ttl_of(*ttl_seconds), Instant::now());
                }
                Ok(Progress::Answered(answer))
            }
            Command::Renew { lease } if self.leases.renew(*lease, Instant::now()) => {
                Ok(Progress::Answered(Ok(Done::default())))
            }
            Command::Revoke { lease } if self.leases.remove(*lease) => Ok(Progress::Ending(*lease)),
            Command::Renew { lease } | Command::Revoke { lease } => Ok(unknown(*lease)),
        }
    }

    /// Shows what was committed to watches and to later calls.
    fn publish(&self, outcome: Outcome) {
        let newest = outcome.newest;
        self.shared.recent.push(outcome.entries, newest);
        self.signal.send_if_modified(|signal| {
            let grown = signal.newest != newest;
            signal.newest = newest;
            grown
        });
    }

    fn file(&self) -> RwLockWriteGuard<'_, Option<Database>> {
        self.shared.file.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the file where a fault closed it, and begins with what it holds.
    fn open(&mut self) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        if shared.file.read().unwrap_or_else(PoisonError::into_inner).is_some() {
            return Ok(());
        }
        let database = self.disk.open()?;
        let opened = tables::prepare(&database)?;
        *self.file() = Some(database);
        self.leases = Leases::begin(opened.leases, Instant::now());
        self.shared.recent.reset(opened.newest);
        self.signal.send_modify(|signal| signal.newest = opened.newest);
        Ok(())
    }

    /// After a fault redb refuses everything, so the file is opened anew; what it holds is what
    /// happened.
    fn recover(&mut self, error: Error) -> Failure {
        tracing::error!(error = &error as &dyn StdError, "the store could not write");
        let before = self.shared.recent.newest();
        *self.file() = None;
        let reopened = self.open();
        if let Err(error) = &reopened {
            tracing::error!(error = error as &dyn StdError, "the store could not be opened anew");
        }
        let untouched = reopened.is_ok() && self.shared.recent.newest() == before;
        let no_space = untouched && matches!(error, Error::NoSpace(_));
        Failure { no_space, cause: Cause::new(error) }
    }
}
