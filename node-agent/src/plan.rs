//! Decides what becomes of each task that has this agent's name: which begin, which do not, what is
//! forgotten. Pure: no I/O, no clock.
//!
//! ```text
//!  record        here         decision
//!  ──────────────────────────────────────────────────────────────────────────────
//!  new           nothing      accept, if it is valid, not stale, and there is room, and its executor
//!  has run       nothing      lost: what ran is not run a second time
//!  deleting      nothing      only released
//!  to be killed  nothing      reported as killed
//!  terminal      nothing      released if it is held
//!  any           an owner     the owner's business
//!  any           unreadable   adopted, as the record says what it was
//!  open          sandbox      reported and released again: the record is from a backup
//!  none          an owner     an orphan: it runs on, and is told of
//!  none          sandbox      forgotten, if absence is believed
//! ```
//!
//! **Invariant:** equal input gives an equal plan, whatever the order of the records: those of lower
//! epochs come first, so that an older placement that was stored in time is not refused for a newer.

use std::collections::BTreeMap;

use meseta_crds::TaskState;
use meseta_crds::task::reason;

/// Amounts of resources in thousandths, by name.
pub(crate) type Amounts = BTreeMap<String, i64>;

/// What one look showed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observed {
    /// The records that are to be decided about, by uid.
    pub(crate) rows: BTreeMap<String, Row>,
    /// What is here of them, and what is here without a record, by uid.
    pub(crate) local: BTreeMap<String, Local>,
    /// What tasks can be given in all.
    pub(crate) capacity: Amounts,
    /// What those use that have not ended.
    pub(crate) used: Amounts,
    /// The highest epoch that was seen.
    pub(crate) seen_epoch: i64,
    /// Whether all records there are were seen.
    pub(crate) complete: bool,
    /// Whether the absence of a record proves that it was deleted.
    pub(crate) absence_is_believed: bool,
    /// In milliseconds since 1970.
    pub(crate) now: i64,
}

/// One record, as far as decisions need it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Row {
    /// `spec.placement.epoch`; none where a person placed the task.
    pub(crate) epoch: Option<i64>,
    /// `spec.resources`.
    pub(crate) resources: Amounts,
    /// What is wrong with the spec.
    pub(crate) faults: Vec<String>,
    /// Where another task is to run it, that one.
    pub(crate) executor: Option<ExecutorRow>,
    /// Whether its state is terminal.
    pub(crate) terminal: bool,
    /// Whether its deletion was asked for.
    pub(crate) deleting: bool,
    /// Whether its scheduler asked for its end.
    pub(crate) killed: bool,
    /// Whether it carries the agent's finalizer.
    pub(crate) held: bool,
    /// Whether its status says that a container was started.
    pub(crate) has_run: bool,
}

/// The executor that a task names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExecutorRow {
    /// Its name.
    pub(crate) name: String,
    /// Uid of its record; none where this agent has no such executor.
    pub(crate) uid: Option<String>,
    /// What is here of it.
    pub(crate) here: Option<Local>,
}

/// What is here of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Local {
    /// An owner.
    Owned {
        /// Whether its container has ended.
        ended: bool,
    },
    /// The sandbox of a task that was seen off.
    Sandbox {
        /// When nobody is expected to look at it any more, in milliseconds since 1970.
        kept_until: i64,
    },
    /// A directory that does not say what it is of.
    Unreadable,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Own a new task.
    Accept {
        /// Uid of the record.
        uid: String,
    },
    /// Own a task whose directory is here.
    Adopt {
        /// Uid of the record.
        uid: String,
    },
    /// Report an end without a beginning.
    Refuse {
        /// Uid of the record.
        uid: String,
        /// A terminal state.
        state: TaskState,
        /// CamelCase cause.
        reason: &'static str,
        /// One sentence for people.
        message: String,
    },
    /// Remove a sandbox.
    Forget {
        /// Uid of the record that was.
        uid: String,
    },
}

/// The steps, and what follows from the look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// In order: what is accepted first has the room.
    pub(crate) actions: Vec<Action>,
    /// The highest epoch seen now; to be remembered before anything is accepted.
    pub(crate) seen_epoch: i64,
    /// Uids of tasks that run here and have no record.
    pub(crate) orphans: Vec<String>,
}

/// Returns the steps that `observed` asks for.
#[must_use]
pub(crate) fn plan(observed: &Observed) -> Plan {
    let mut plan = Plan { seen_epoch: observed.seen_epoch, ..Plan::default() };
    let mut rows: Vec<(&String, &Row)> = observed.rows.iter().collect();
    // Executors come before their tasks, so that these find them accepted.
    rows.sort_by_key(|(uid, row)| (row.epoch, row.executor.is_some(), *uid));
    let mut used = observed.used.clone();
    for (uid, row) in rows {
        let decided = match observed.local.get(uid) {
            Some(Local::Owned { .. }) => None,
            Some(Local::Unreadable) => Some(Action::Adopt { uid: uid.clone() }),
            Some(Local::Sandbox { .. }) => {
                (row.held || !row.terminal).then(|| Action::Adopt { uid: uid.clone() })
            }
            None => new_task(uid, row, observed, &mut used, &mut plan),
        };
        plan.actions.extend(decided);
    }
    if observed.complete {
        without_record(observed, &mut plan);
    }
    plan
}

/// A record of which nothing is here.
fn new_task(
    uid: &str,
    row: &Row,
    observed: &Observed,
    used: &mut Amounts,
    plan: &mut Plan,
) -> Option<Action> {
    let refuse = |state: TaskState, reason: &'static str, message: String| {
        Some(Action::Refuse { uid: uid.to_owned(), state, reason, message })
    };
    if row.terminal {
        let message = "ended before".to_owned();
        return row.held.then(|| refuse(TaskState::Killed, reason::DELETED, message)).flatten();
    }
    if row.has_run {
        let message = "the agent has nothing of it any more; how it ended is not known".to_owned();
        return refuse(TaskState::Lost, reason::SHIM_LOST, message);
    }
    if row.deleting {
        let message = "deleted before it was started".to_owned();
        return refuse(TaskState::Killed, reason::DELETED, message);
    }
    if row.killed {
        let message = "killed before it was started".to_owned();
        return refuse(TaskState::Killed, reason::KILLED_BY_SCHEDULER, message);
    }
    if !row.faults.is_empty() {
        return refuse(TaskState::Failed, reason::INVALID_SPEC, row.faults.join("; "));
    }
    if let Some(epoch) = row.epoch {
        let seen_epoch = plan.seen_epoch;
        if epoch < seen_epoch {
            let message = format!(
                "placed by the leader of epoch {epoch}; the agent has seen epoch {seen_epoch}"
            );
            return refuse(TaskState::Dropped, reason::STALE_LEADER, message);
        }
        plan.seen_epoch = epoch;
    }
    if let Some(message) = lacks_executor(row, plan) {
        return refuse(TaskState::Dropped, reason::EXECUTOR_TERMINATED, message);
    }
    if let Some(message) = lacks_room(row, &observed.capacity, used) {
        return refuse(TaskState::Dropped, reason::AGENT_OUT_OF_ROOM, message);
    }
    for (name, amount) in &row.resources {
        let sum = used.entry(name.clone()).or_default();
        *sum = sum.saturating_add(*amount);
    }
    Some(Action::Accept { uid: uid.to_owned() })
}

/// Why the task does not fit beside the others, if it does not.
fn lacks_room(row: &Row, capacity: &Amounts, used: &Amounts) -> Option<String> {
    row.resources.iter().find_map(|(name, needed)| {
        let amount = |amounts: &Amounts| amounts.get(name).copied().unwrap_or(0);
        let free = amount(capacity).saturating_sub(amount(used));
        (*needed > free).then(|| {
            let show = |millis: i64| show(name, millis);
            format!(
                "needs {} of {name}; {} of {} are free on the agent",
                show(*needed),
                show(free.max(0)),
                show(amount(capacity))
            )
        })
    })
}

/// Why the task has no executor to run it, if it has none. An executor is stored before its tasks: one
/// that is not seen with them is gone.
fn lacks_executor(row: &Row, plan: &Plan) -> Option<String> {
    let ExecutorRow { name, uid, here } = row.executor.as_ref()?;
    let Some(uid) = uid else {
        return Some(format!("there is no executor `{name}` on the agent"));
    };
    let lives = match here {
        Some(Local::Owned { ended }) => !ended,
        Some(Local::Unreadable) => true,
        Some(Local::Sandbox { .. }) => false,
        None => plan.actions.contains(&Action::Accept { uid: uid.clone() }),
    };
    (!lives).then(|| format!("its executor `{name}` has ended"))
}

/// An amount as people write it.
fn show(name: &str, millis: i64) -> String {
    use meseta_crds::Quantity;
    match name {
        "memory" | "disk" => Quantity::from_bytes(millis / 1000).to_string(),
        _ => Quantity::from_millis(millis).to_string(),
    }
}

/// What is here and has no record. Nothing that runs is ended for that.
fn without_record(observed: &Observed, plan: &mut Plan) {
    for (uid, local) in &observed.local {
        if observed.rows.contains_key(uid) {
            continue;
        }
        match local {
            Local::Owned { ended: false } | Local::Unreadable => plan.orphans.push(uid.clone()),
            // The owner knows how long it waits for its record.
            Local::Owned { ended: true } => {}
            Local::Sandbox { kept_until } => {
                if observed.absence_is_believed || *kept_until <= observed.now {
                    plan.actions.push(Action::Forget { uid: uid.clone() });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
