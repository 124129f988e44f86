//! What is said about a framework: status, conditions, and one sentence.

use meseta_crds::condition::{self, Value, kind};
use meseta_crds::framework::TaskSetStatus;
use meseta_crds::{FrameworkStatus, TaskState};

use super::slots::{Set, count};
use super::{Desired, Invalid, Observed};

/// Parts of the sentence that are spelled out; the rest is counted.
const MAX_PARTS: usize = 4;

/// Where a framework is in its life.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Pending,
    Running,
    Succeeded,
    Failed,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }
}

/// The values of the three conditions and their common reason.
struct Verdict {
    ready: Value,
    succeeded: Value,
    stalled: Value,
    reason: &'static str,
}

/// The status that describes `sets` as they were observed.
pub(super) fn status(
    desired: &Desired<'_>,
    sets: &[Set<'_>],
    observed: &Observed<'_>,
) -> FrameworkStatus {
    let task_sets: Vec<TaskSetStatus> = sets.iter().map(set_status).collect();
    let finished: i64 = task_sets.iter().map(|set| set.succeeded).sum();
    let wanted: i64 = sets.iter().map(|set| set.spec.replicas).sum();
    let state = state(sets, &task_sets);
    let message = message(state, sets, &task_sets, finished, wanted);
    let (reason, ready) = match state {
        State::Succeeded => ("Completed", Value::True),
        State::Failed => ("MaxFailuresExceeded", Value::False),
        State::Pending | State::Running if sets.iter().all(is_at_count) => ("Running", Value::True),
        State::Pending | State::Running => ("Progressing", Value::False),
    };
    let succeeded = match state {
        State::Succeeded => Value::True,
        State::Failed => Value::False,
        State::Pending | State::Running => Value::Unknown,
    };
    let stalled = if state == State::Failed { Value::True } else { Value::False };
    let verdict = Verdict { ready, succeeded, stalled, reason };
    FrameworkStatus {
        observed_generation: Some(desired.generation),
        state: Some(state.as_str().to_owned()),
        summary: Some(format!("{finished}/{wanted}")),
        conditions: conditions(&verdict, &message, desired.generation, observed),
        message: Some(message),
        task_sets,
        scheduler: None,
    }
}

/// The status of a framework whose spec has to change first; what runs is left alone.
pub(super) fn invalid(
    invalid: &Invalid,
    generation: i64,
    observed: &Observed<'_>,
) -> FrameworkStatus {
    let message = format!("the spec cannot be carried out: {invalid}");
    let verdict = Verdict {
        ready: Value::False,
        succeeded: Value::Unknown,
        stalled: Value::True,
        reason: "InvalidSpec",
    };
    let previous = observed.status.cloned().unwrap_or_default();
    FrameworkStatus {
        observed_generation: Some(generation),
        state: Some(previous.state.unwrap_or_else(|| State::Pending.as_str().to_owned())),
        summary: previous.summary,
        conditions: conditions(&verdict, &message, generation, observed),
        message: Some(message),
        task_sets: previous.task_sets,
        scheduler: previous.scheduler,
    }
}

fn conditions(
    verdict: &Verdict,
    message: &str,
    generation: i64,
    observed: &Observed<'_>,
) -> Vec<condition::Condition> {
    let mut conditions =
        observed.status.map(|status| status.conditions.clone()).unwrap_or_default();
    for (kind, value) in [
        (kind::READY, verdict.ready),
        (kind::SUCCEEDED, verdict.succeeded),
        (kind::STALLED, verdict.stalled),
    ] {
        let reason = verdict.reason;
        condition::set(&mut conditions, kind, value, reason, message, generation, &observed.now);
    }
    conditions
}

fn set_status(set: &Set<'_>) -> TaskSetStatus {
    TaskSetStatus {
        name: set.spec.name.clone(),
        pending: count(set.active().filter(|task| !task.placed)),
        active: count(set.active().filter(|task| task.placed)),
        succeeded: set.succeeded(),
        failed: set.failed,
    }
}

/// Whether the set runs in full, or has.
fn is_at_count(set: &Set<'_>) -> bool {
    let running = count(set.active().filter(|task| task.state == TaskState::Running));
    set.succeeded() + running >= set.spec.replicas
}

fn state(sets: &[Set<'_>], task_sets: &[TaskSetStatus]) -> State {
    if sets.iter().any(Set::has_failed) {
        State::Failed
    } else if sets.iter().all(Set::is_complete) {
        State::Succeeded
    } else if task_sets.iter().any(|set| set.active + set.succeeded > 0) {
        State::Running
    } else {
        State::Pending
    }
}

/// One sentence that says what is waited for.
fn message(
    state: State,
    sets: &[Set<'_>],
    task_sets: &[TaskSetStatus],
    finished: i64,
    wanted: i64,
) -> String {
    let parts: Vec<String> = match state {
        State::Succeeded if wanted == 0 => vec!["no tasks are wanted".to_owned()],
        State::Succeeded => vec![format!("all {wanted} tasks have finished")],
        State::Failed => sets.iter().filter(|set| set.has_failed()).map(failure).collect(),
        State::Pending | State::Running => sets
            .iter()
            .zip(task_sets)
            .filter(|(set, _)| !set.is_complete())
            .flat_map(|(set, status)| progress(set, status, sets))
            .collect(),
    };
    if parts.is_empty() {
        let running: i64 = task_sets.iter().map(|set| set.active).sum();
        return format!("{finished} of {wanted} tasks have finished, {running} on their way");
    }
    let mut text = parts[..parts.len().min(MAX_PARTS)].join("; ");
    if parts.len() > MAX_PARTS {
        text.push_str(&format!("; and {} more", parts.len() - MAX_PARTS));
    }
    text
}

fn failure(set: &Set<'_>) -> String {
    let last = set
        .slots()
        .filter_map(|(_, slot)| slot.latest)
        .filter(|task| task.state == TaskState::Failed)
        .max_by_key(|task| (task.ended, &task.name));
    let last = last.map_or_else(String::new, |task| match &task.reason {
        Some(reason) => format!("; the last was {}: {reason}", task.name),
        None => format!("; the last was {}", task.name),
    });
    format!(
        "set {} failed: {} failures, {} allowed{last}",
        set.spec.name, set.failed, set.spec.max_failures
    )
}

/// What an incomplete set does and waits for.
fn progress(set: &Set<'_>, status: &TaskSetStatus, sets: &[Set<'_>]) -> Vec<String> {
    let name = &set.spec.name;
    let mut parts = Vec::new();
    let waits_for: Vec<String> = set
        .waits_for(sets)
        .iter()
        .map(|set| {
            format!("{}: {} of {} finished", set.spec.name, set.succeeded(), set.spec.replicas)
        })
        .collect();
    if !waits_for.is_empty() {
        parts.push(format!("set {name} waits for {}", waits_for.join(" and ")));
    }
    if status.pending > 0 {
        parts.push(format!("set {name}: {} waiting for an agent", tasks(status.pending)));
    }
    let unreachable = count(set.active().filter(|task| task.state == TaskState::Unreachable));
    if unreachable > 0 {
        parts.push(format!("set {name}: {} on silent agents", tasks(unreachable)));
    }
    let old = count(set.active().filter(|task| task.placed && set.has_other_template(task)));
    if old > 0 {
        parts.push(format!("set {name}: {} with an earlier template, until they end", tasks(old)));
    }
    let ended = |task: &&super::Task| task.state.is_terminal();
    let replaced = set.slots().filter(|(_, slot)| slot.next_incarnation().is_some());
    let replaced = count(replaced.filter_map(|(_, slot)| slot.latest).filter(ended));
    if replaced > 0 {
        parts.push(format!("set {name}: {} to be replaced", tasks(replaced)));
    }
    parts
}

fn tasks(count: i64) -> String {
    if count == 1 { "1 task".to_owned() } else { format!("{count} tasks") }
}
