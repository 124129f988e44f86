//! The loop of a leader: everything that concerns the allocator goes through it.
//!
//! ```text
//!  changed rows, commands, answers ──► wake ──► absorb ──► decide ─┬─► placements ──► writes
//!                                       ▲                          ├─► offers ──────► seats
//!                      next deadline ───┘                          └─► rescinded ───► seats
//! ```
//!
//! The first event is decided on at once; those that follow within [`WINDOW`] of that together, at
//! its end. So a single free resource is offered without delay and a burst of tasks is one batch.
//!
//! **Invariant:** rows are taken in right before a decision and never else, so an offer that they
//! take back is gone from its seat before anybody can take it.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use meseta_planning::allocator::Decisions;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::Shell;
use super::commands::until;
use super::launch::{self, Outcome};
use super::place::{self, Settled};
use super::seats::Seats;
use crate::clock::Boottime;
use crate::cluster::Cluster;
use crate::market::Command;
use crate::offer_book::Pen;
use crate::write::Writer;

/// Least time between two decisions; what changes meanwhile is decided on together.
const WINDOW: Duration = Duration::from_millis(2);
/// Placements under way at the same time: a few groups of the store's commit.
const MAX_PLACING: usize = 256;
/// Launches under way at the same time; with more, commands wait.
const MAX_LAUNCHING: usize = 256;
/// Records of launches that are created at the same time, as [`MAX_PLACING`].
const MAX_CREATING: usize = 256;
/// Explanations and statuses under way at the same time.
const MAX_REPORTING: usize = 16;
/// Time between two looks at what is pending, and at who has left.
const TICK: Duration = Duration::from_millis(200);
/// After so long a task whose placement the server refused is tried again without a change.
const REFUSED_RETRY: Duration = Duration::from_secs(30);
/// Longest sleep while nothing is due.
const IDLE: Duration = Duration::from_secs(3600);

/// When the next decision is due.
struct Pace {
    /// When it was decided last.
    last: Option<Instant>,
    due: Option<Instant>,
}

impl Pace {
    /// Something has changed.
    fn wake(&mut self) {
        if self.due.is_none() {
            let now = Instant::now();
            self.due = Some(self.last.map_or(now, |last| now.max(last + WINDOW)));
        }
    }
}

impl Shell {
    /// Decides until `stop`. The rows have to be as new as the lease.
    pub(crate) async fn lead(
        &mut self,
        cluster: &Cluster,
        writer: &Writer,
        mut commands: mpsc::Receiver<Command>,
        pen: Pen,
        stop: &CancellationToken,
    ) {
        self.settle_former_terms(cluster);
        let mut seats = Seats::new(writer.epoch, pen);
        let mut placing: FuturesUnordered<BoxFuture<'_, Settled>> = FuturesUnordered::new();
        let mut launches: JoinSet<Outcome> = JoinSet::new();
        let creating = Arc::new(Semaphore::new(MAX_CREATING));
        let mut reporting: FuturesUnordered<BoxFuture<'_, ()>> = FuturesUnordered::new();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut retry_refused = tokio::time::interval(REFUSED_RETRY);
        let mut pace = Pace { last: None, due: Some(Instant::now()) };
        loop {
            let expiry =
                self.next_expiry().map(|at| pace.last.map_or(at, |last| at.max(last + WINDOW)));
            let now = Instant::now();
            if pace.due.is_some_and(|due| due <= now) || expiry.is_some_and(|at| at <= now) {
                self.absorb(cluster);
                for order in self.decide(cluster, &mut seats, MAX_PLACING - placing.len()) {
                    placing.push(Box::pin(place::place(writer, order, stop)));
                }
                pace = Pace { last: Some(Instant::now()), due: None };
                if seats.freed() {
                    pace.wake();
                }
                // Others have their turn, however much there is to decide.
                tokio::task::yield_now().await;
                continue;
            }
            let next = [pace.due, expiry].into_iter().flatten().min().unwrap_or(now + IDLE);
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep_until(next) => {}
                () = cluster.changed.notified() => pace.wake(),
                Some(settled) = placing.next() => {
                    self.settle(cluster, settled);
                    pace.wake();
                }
                Some(outcome) = launches.join_next() => {
                    self.settle_launch(cluster, outcome);
                    pace.wake();
                }
                Some(command) = commands.recv(), if launches.len() < MAX_LAUNCHING => {
                    if let Some(launch) = self.obey(cluster, &mut seats, writer.epoch, command) {
                        let (permits, stop) = (creating.clone(), stop.clone());
                        launches.spawn(launch::carry_out(writer.clone(), launch, permits, stop));
                    }
                    pace.wake();
                }
                Some(number) = seats.next_gone() => {
                    seats.give_back(&mut self.allocator, number, until(Duration::ZERO));
                    pace.wake();
                }
                Some(()) = reporting.next() => {}
                _ = ticks.tick() => {
                    seats.sweep(&mut self.allocator);
                    if seats.freed() {
                        pace.wake();
                    }
                    let room = MAX_REPORTING - reporting.len().min(MAX_REPORTING);
                    for report in self.reports(cluster, room) {
                        reporting.push(Box::pin(report.write(cluster, writer)));
                    }
                }
                _ = retry_refused.tick() => {
                    let refused = std::mem::take(&mut self.refused);
                    cluster.lock().changed.tasks.extend(refused.into_keys());
                    pace.wake();
                }
            }
        }
        // Nobody is offered anything any more; this also closes the book.
        drop(commands);
        seats.close(&mut self.allocator);
        // Writes under way are bounded in time; what they did should be known to the next term.
        while let Some(settled) = placing.next().await {
            self.settle(cluster, settled);
        }
        while let Some(outcome) = launches.join_next().await {
            self.settle_launch(cluster, outcome);
        }
        while reporting.next().await.is_some() {}
    }

    /// When the next offer or filter expires.
    fn next_expiry(&self) -> Option<Instant> {
        let left = self.allocator.next_deadline()? - Boottime::now().millis();
        Some(Instant::now() + Duration::from_millis(u64::try_from(left).unwrap_or(0)))
    }

    /// Makes the offers and returns the placements of one cycle.
    fn decide(&mut self, cluster: &Cluster, seats: &mut Seats, room: usize) -> Vec<place::Order> {
        let now = Boottime::now().millis();
        let Decisions { placements, offers, rescinded } = self.allocator.decide(now, room);
        seats.deliver(&mut self.allocator, now, offers, &rescinded);
        self.orders(cluster, placements)
    }
}
