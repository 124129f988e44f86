//! What the end of a container means for its task: state, reason, and a sentence.

use jiff::Timestamp;
use meseta_crds::TaskState;
use meseta_crds::condition::Time;
use meseta_crds::task::{ContainerStatus, reason};
use meseta_shim_api::{Exit, Outcome as Ending, StartFailure};

use crate::checkpoint::{Accepted, Outcome, Stop, StopCause};

/// SIGKILL: what the kernel sends to a process for want of memory.
const SIGKILL: i32 = 9;
/// What a shell adds to the number of the signal that ended its command.
const SIGNAL_BASE: i32 = 128;

/// Why a task could not be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// One of [`reason`].
    pub(crate) reason: &'static str,
    /// One sentence that names the thing.
    pub(crate) message: String,
}

impl Failure {
    /// A failure with its reason and sentence.
    pub(crate) fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// The container of `accepted` before it has run.
pub(crate) fn container(accepted: &Accepted) -> ContainerStatus {
    let name = accepted.spec.containers.first().map_or("main", |container| &container.name);
    ContainerStatus {
        name: name.to_owned(),
        restart_count: i64::from(accepted.restarts),
        ..ContainerStatus::default()
    }
}

/// The container after its run has ended.
pub(crate) fn ended_container(accepted: &Accepted, exit: &Exit) -> ContainerStatus {
    let mut status = container(accepted);
    status.started_at = exit.started_unix_millis.map(time);
    status.finished_at = Some(time(exit.finished_unix_millis));
    match exit.outcome {
        Ending::Exited { code } => status.exit_code = Some(i64::from(code)),
        Ending::Signaled { signal } => {
            status.signal = Some(i64::from(signal));
            status.exit_code = Some(i64::from(SIGNAL_BASE + signal));
        }
        Ending::NotStarted { .. } => {}
    }
    status.oom_killed = is_out_of_memory(exit);
    status
}

/// Whether want of memory ended the container. A child that was killed while the container went on
/// to a good end is not that.
pub(crate) fn is_out_of_memory(exit: &Exit) -> bool {
    let killed = match exit.outcome {
        Ending::Signaled { signal } => signal == SIGKILL,
        Ending::Exited { code } => code == SIGNAL_BASE + SIGKILL,
        Ending::NotStarted { .. } => false,
    };
    killed && exit.oom_kills > 0
}

/// Whether the container did what it was there for.
pub(crate) fn is_success(exit: &Exit) -> bool {
    matches!(exit.outcome, Ending::Exited { code: 0 })
}

/// The task after its container has ended by itself.
pub(crate) fn of_exit(accepted: &Accepted, exit: &Exit) -> Outcome {
    let container = ended_container(accepted, exit);
    let (state, reason, message) = match &exit.outcome {
        Ending::Exited { code: 0 } => {
            (TaskState::Finished, reason::COMPLETED, describe(exit, accepted))
        }
        Ending::Exited { .. } | Ending::Signaled { .. } if is_out_of_memory(exit) => {
            (TaskState::Failed, reason::OUT_OF_MEMORY, describe(exit, accepted))
        }
        Ending::Exited { .. } | Ending::Signaled { .. } => {
            (TaskState::Failed, reason::NON_ZERO_EXIT, describe(exit, accepted))
        }
        Ending::NotStarted { cause, message } => {
            (TaskState::Failed, start_failure(*cause), message.clone())
        }
    };
    Outcome {
        state,
        reason: reason.to_owned(),
        message,
        container: Some(container),
        ended_unix_millis: exit.finished_unix_millis,
    }
}

/// The reason of a task that was asked to end.
pub(crate) fn of_cause(cause: StopCause) -> &'static str {
    match cause {
        StopCause::Deleted | StopCause::Superseded => reason::DELETED,
        StopCause::Killed | StopCause::Unneeded => reason::KILLED_BY_SCHEDULER,
        StopCause::NotSubscribed => reason::EXECUTOR_REGISTRATION_TIMEOUT,
        StopCause::DeadlineExceeded => reason::DEADLINE_EXCEEDED,
        StopCause::StartTimeout => reason::START_FAILED,
    }
}

/// The task after its container was asked to end, and has; `exit` where it is known.
pub(crate) fn of_stop(accepted: &Accepted, stop: &Stop, exit: Option<&Exit>, now: i64) -> Outcome {
    let reason = of_cause(stop.cause);
    let (state, why) = match stop.cause {
        StopCause::Deleted => (TaskState::Killed, "ended because it was deleted".to_owned()),
        StopCause::Killed => {
            (TaskState::Killed, "ended because its scheduler asked for it".to_owned())
        }
        StopCause::NotSubscribed => {
            (TaskState::Failed, "the executor did not subscribe in time".to_owned())
        }
        StopCause::Unneeded => {
            let why = "ended because its tasks were killed before it was given any".to_owned();
            (TaskState::Killed, why)
        }
        StopCause::Superseded => {
            let why = "ended because its record says that it had ended".to_owned();
            (TaskState::Killed, why)
        }
        StopCause::DeadlineExceeded => {
            let seconds = accepted.spec.active_deadline_seconds.unwrap_or_default();
            let why = format!("ran for longer than its deadline of {seconds} s");
            (TaskState::Failed, why)
        }
        StopCause::StartTimeout => {
            let why = "the shim did not bring the container to run in time".to_owned();
            (TaskState::Failed, why)
        }
    };
    let message = match exit {
        Some(exit) => format!("{why}; {}", describe(exit, accepted)),
        None => why,
    };
    let container = exit.map(|exit| ended_container(accepted, exit));
    Outcome {
        state,
        reason: reason.to_owned(),
        message,
        container: container.or_else(|| accepted.last.clone()),
        ended_unix_millis: exit.map_or(now, |exit| exit.finished_unix_millis),
    }
}

/// The task when its container is known to be gone and nothing says how it ended.
pub(crate) fn unknown(
    accepted: &Accepted,
    reason: &str,
    message: &str,
    started: Option<i64>,
    now: i64,
) -> Outcome {
    let container = ContainerStatus {
        started_at: started.map(time),
        finished_at: Some(time(now)),
        ..container(accepted)
    };
    Outcome {
        state: TaskState::Failed,
        reason: reason.to_owned(),
        message: message.to_owned(),
        container: Some(container),
        ended_unix_millis: now,
    }
}

/// The task when nothing of it was ever started.
pub(crate) fn never_started(accepted: &Accepted, failure: Failure, now: i64) -> Outcome {
    Outcome {
        state: TaskState::Failed,
        reason: failure.reason.to_owned(),
        message: failure.message,
        container: accepted.last.clone(),
        ended_unix_millis: now,
    }
}

/// How a container ended, for people.
pub(crate) fn describe(exit: &Exit, accepted: &Accepted) -> String {
    let ended = match &exit.outcome {
        Ending::Exited { code } => format!("exited with code {code}"),
        Ending::Signaled { signal } => format!("ended by signal {}", signal_name(*signal)),
        Ending::NotStarted { message, .. } => format!("could not be started: {message}"),
    };
    if is_out_of_memory(exit) {
        let limit =
            accepted.spec.limits.get("memory").or_else(|| accepted.spec.resources.get("memory"));
        return match limit {
            Some(limit) => format!("{ended}: it needed more than its {limit} of memory"),
            None => format!("{ended}: the machine had no memory left"),
        };
    }
    match exit.oom_kills {
        0 => ended,
        1 => format!("{ended}; one of its processes was killed for want of memory"),
        many => format!("{ended}; {many} of its processes were killed for want of memory"),
    }
}

fn start_failure(cause: StartFailure) -> &'static str {
    match cause {
        StartFailure::CommandNotFound => reason::COMMAND_NOT_FOUND,
        StartFailure::DiskFull => reason::DISK_FULL,
        StartFailure::Other => reason::START_FAILED,
    }
}

/// The usual name of a signal, such as `SIGTERM`.
fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        10 => "SIGUSR1",
        11 => "SIGSEGV",
        12 => "SIGUSR2",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => return signal.to_string(),
    };
    name.to_owned()
}

/// A time of a record: those have whole seconds.
pub(crate) fn time(unix_millis: i64) -> Time {
    let seconds = unix_millis.div_euclid(1000);
    Time(Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH))
}
