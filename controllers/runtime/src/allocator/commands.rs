//! What schedulers ask for, on its way to the seats and to the allocator.

use std::collections::BTreeSet;
use std::time::Duration;

use meseta_crds::Task;
use meseta_planning::allocator::AcceptError;
use tokio::task::JoinError;

use super::launch::{self, Created, Launch, Outcome};
use super::seats::Seats;
use super::{Shell, convert};
use crate::clock::Boottime;
use crate::cluster::{Cluster, Key};
use crate::market::{Command, LaunchError, Launched, Taken};

/// Shortest time for which what was given back, on purpose or by a mistake, is not offered again: a
/// scheduler that asks for no time, or accepts wrongly what it gets, must not get the same offer
/// hundreds of times a second. In Mesos it is a second.
const SHORTEST_FILTER: Duration = Duration::from_millis(250);

impl Shell {
    /// Carries out a command; a launch is returned when its room is assumed.
    pub(super) fn obey(
        &mut self,
        cluster: &Cluster,
        seats: &mut Seats,
        epoch: i64,
        command: Command,
    ) -> Option<Launch> {
        let allocator = &mut self.allocator;
        // Whoever asked may have gone.
        match command {
            Command::Enter(seat, answer) => {
                drop(answer.send(seats.enter(allocator, seat)));
            }
            Command::SetRoles { uid, roles, suppressed, done } => {
                seats.set_roles(allocator, &uid, roles, &suppressed);
                let _ = done.send(());
            }
            Command::Suppress { uid, roles, done } => {
                seats.suppress(allocator, &uid, &roles);
                let _ = done.send(());
            }
            Command::Revive { uid, roles, done } => {
                seats.revive(allocator, &uid, &roles);
                let _ = done.send(());
            }
            Command::Leave { uid, done } => {
                seats.leave(allocator, &uid);
                let _ = done.send(());
            }
            Command::Decline { uid, offers, filter, done } => {
                seats.decline(allocator, &uid, &offers, until(filter));
                let _ = done.send(());
            }
            Command::Take { uid, offers, answer } => {
                drop(answer.send(seats.take(allocator, &uid, &offers, until(Duration::ZERO))));
            }
            Command::Launch { taken, tasks, filter, answer } => {
                let filter = until(filter);
                return self.launch(cluster, seats, epoch, (taken, tasks, filter, answer));
            }
        }
        None
    }

    /// Assumes the room of what is launched; or says why not.
    fn launch(
        &mut self,
        cluster: &Cluster,
        seats: &mut Seats,
        epoch: i64,
        (taken, tasks, filter, answer): (Taken, Vec<Task>, Option<i64>, Launched),
    ) -> Option<Launch> {
        let count = tasks.len();
        let Some(held) = seats.use_up(&taken) else {
            drop(answer.send(vec![Err(LaunchError::Gone); count]));
            return None;
        };
        let mut launch = Launch { orders: Vec::new(), assumed: BTreeSet::new(), answer };
        let (mut rows, mut named) = (Vec::new(), BTreeSet::new());
        let state = cluster.lock();
        for mut task in tasks {
            launch::place(&mut task, &held, epoch);
            let key = Key::of(&task);
            let known = self.launching.contains(&key) || state.tasks.contains_key(&key);
            let twice = !named.insert(key.clone());
            // An executor may be there already; whether it is the same is seen when it is created.
            let refused =
                (twice || known && task.spec.executor.is_none()).then_some(LaunchError::Exists);
            if !known && !twice {
                rows.push(convert::launched(&key, &task));
                launch.assumed.insert(key.clone());
            }
            launch.orders.push(launch::Order { key, task, refused });
        }
        drop(state);
        if let Err(err) = self.allocator.accept(&held.offers, rows, filter) {
            let shortest = until(Duration::ZERO);
            held.offers.iter().for_each(|id| self.allocator.decline(*id, shortest));
            let why = match &err {
                AcceptError::NoOffer | AcceptError::Gone(_) => LaunchError::Gone,
                AcceptError::TooMuch => LaunchError::TooMuch,
                AcceptError::Exists(_) => LaunchError::Exists,
                AcceptError::Mixed | AcceptError::Foreign(_) => {
                    LaunchError::Refused(err.to_string())
                }
            };
            drop(launch.answer.send(vec![Err(why); count]));
            return None;
        }
        self.launching.extend(launch.assumed.iter().cloned());
        Some(launch)
    }

    /// Takes in what became of a launch, and tells who asked for it.
    pub(super) fn settle_launch(&mut self, cluster: &Cluster, outcome: Result<Outcome, JoinError>) {
        let Outcome { tasks, assumed, answer } = match outcome {
            Ok(outcome) => outcome,
            Err(err) if err.is_panic() => std::panic::resume_unwind(err.into_panic()),
            // The runtime is going, and this with it.
            Err(_) => return,
        };
        let mut results = Some(Vec::with_capacity(tasks.len()));
        for created in tasks {
            let (key, there, result) = match created {
                Created::Stored(task) => {
                    let there = cluster.apply_created(&task);
                    (Key::of(&*task), there, Ok(*task))
                }
                Created::Not(key, err) => (key, false, Err(err)),
                Created::Unknown(key) => {
                    if assumed.contains(&key) {
                        self.unsettled.insert(key);
                    }
                    results = None;
                    continue;
                }
            };
            // What is there is told by its row.
            if !there && assumed.contains(&key) {
                self.allocator.forget(&convert::task_key(&key));
            }
            if let Some(results) = &mut results {
                results.push(result);
            }
        }
        for key in &assumed {
            self.launching.remove(key);
        }
        if let Some(results) = results {
            drop(answer.send(results));
        }
    }
}

/// When a filter ends that lasts so long from now, and at least [`SHORTEST_FILTER`].
pub(super) fn until(filter: Duration) -> Option<i64> {
    let millis = i64::try_from(filter.max(SHORTEST_FILTER).as_millis()).unwrap_or(i64::MAX);
    Some(Boottime::now().millis().saturating_add(millis))
}
