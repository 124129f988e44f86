//! The environment variables that a Mesos agent sets. Pure.
//!
//! What the task or the executor brings itself (`CommandInfo.environment`) is stronger: the caller
//! puts it after these. Nothing of the agent's own environment is passed on.

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How long an executor without an agent waits before it gives up, as it is told.
pub const RECOVERY_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// The longest time between two tries of an executor to subscribe again, as it is told.
pub const SUBSCRIPTION_BACKOFF_MAX: Duration = Duration::from_secs(2);

/// Who a process is.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// Mesos' id of the framework.
    pub framework_id: &'a str,
    /// Mesos' id of the executor; of a command task, the id of the task.
    pub executor_id: &'a str,
    /// Mesos' id of the agent.
    pub agent_id: &'a str,
    /// The sandbox as the machine sees it, where the process can use that.
    pub directory: &'a str,
    /// The sandbox as the process sees it.
    pub sandbox: &'a str,
}

/// What an executor has to know beyond that, and its command inherits.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    /// Where this machine serves the executor API, if it does: a loopback address.
    pub endpoint: Option<SocketAddr>,
    /// `FrameworkInfo.checkpoint`.
    pub checkpoint: bool,
    /// Time between SHUTDOWN and the end of the container.
    pub shutdown_grace: Duration,
}

/// The variables of an executor. (`pymesos` takes any `MESOS_CHECKPOINT` for true; then it needs
/// nothing more than is here.)
#[must_use]
pub fn executor(identity: &Identity<'_>, service: &Service) -> Vec<(String, String)> {
    owned(of_executor(identity, service))
}

/// The variables of a command task: those of its executor, which in Mesos is a program of the agent
/// that passes them on, and its role.
#[must_use]
pub fn command_task(
    identity: &Identity<'_>,
    service: &Service,
    allocation_role: &str,
) -> Vec<(String, String)> {
    let mut variables = of_executor(identity, service);
    variables.push(("MESOS_ALLOCATION_ROLE", allocation_role.to_owned()));
    owned(variables)
}

/// The variables of a task under the DEFAULT executor, of which it inherits nothing: who it is, and
/// where it is reached. `ip` is the machine's, as others see it.
#[must_use]
pub fn group_task(
    identity: &Identity<'_>,
    allocation_role: &str,
    ip: Option<IpAddr>,
) -> Vec<(String, String)> {
    let mut variables = of_identity(identity);
    variables.push(("MESOS_ALLOCATION_ROLE", allocation_role.to_owned()));
    variables.extend(ip.map(|ip| ("MESOS_CONTAINER_IP", ip.to_string())));
    owned(variables)
}

fn of_executor(identity: &Identity<'_>, service: &Service) -> Vec<(&'static str, String)> {
    let mut variables = of_identity(identity);
    if let Some(endpoint) = service.endpoint {
        variables.extend([
            ("MESOS_SLAVE_PID", format!("slave(1)@{endpoint}")),
            ("MESOS_AGENT_ENDPOINT", endpoint.to_string()),
        ]);
    }
    variables.extend([
        ("MESOS_CHECKPOINT", flag(service.checkpoint)),
        ("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", duration_text(service.shutdown_grace)),
        ("MESOS_HTTP_COMMAND_EXECUTOR", flag(false)),
        ("LIBPROCESS_PORT", "0".to_owned()),
    ]);
    if service.checkpoint {
        variables.extend([
            ("MESOS_RECOVERY_TIMEOUT", duration_text(RECOVERY_TIMEOUT)),
            ("MESOS_SUBSCRIPTION_BACKOFF_MAX", duration_text(SUBSCRIPTION_BACKOFF_MAX)),
        ]);
    }
    variables
}

/// A duration as Mesos prints it: a number and a unit, `5secs`, `1500ms`, `15mins`. In the unit of
/// its magnitude; in the next smaller one if only that makes it whole; else with a fraction.
#[must_use]
pub fn duration_text(duration: Duration) -> String {
    const UNITS: [(&str, u128); 8] = [
        ("ns", 1),
        ("us", 1_000),
        ("ms", 1_000_000),
        ("secs", 1_000_000_000),
        ("mins", 60_000_000_000),
        ("hrs", 3_600_000_000_000),
        ("days", 86_400_000_000_000),
        ("weeks", 604_800_000_000_000),
    ];
    let nanos = duration.as_nanos();
    let at = UNITS.iter().rposition(|(_, unit)| nanos >= *unit).unwrap_or(0);
    let smaller = at.saturating_sub(1);
    for (name, unit) in [UNITS[at], UNITS[smaller]] {
        if nanos.is_multiple_of(unit) {
            return format!("{}{name}", nanos / unit);
        }
    }
    let (name, unit) = UNITS[at];
    format!("{}{name}", fraction(nanos, unit))
}

/// `nanos` / `unit` with 15 significant digits, as C++ streams print it.
fn fraction(nanos: u128, unit: u128) -> String {
    const DIGITS: usize = 15;
    let whole = (nanos / unit).to_string();
    let decimals = DIGITS.saturating_sub(whole.len());
    let scale = 10_u128.pow(u32::try_from(decimals).unwrap_or_default());
    let scaled = (nanos * scale + unit / 2) / unit;
    let digits = format!("{:0width$}", scaled % scale, width = decimals);
    let digits = digits.trim_end_matches('0');
    let whole = scaled / scale;
    if digits.is_empty() { whole.to_string() } else { format!("{whole}.{digits}") }
}

fn of_identity<'a>(identity: &Identity<'a>) -> Vec<(&'static str, String)> {
    [
        ("MESOS_FRAMEWORK_ID", identity.framework_id),
        ("MESOS_EXECUTOR_ID", identity.executor_id),
        ("MESOS_SLAVE_ID", identity.agent_id),
        ("MESOS_DIRECTORY", identity.directory),
        ("MESOS_SANDBOX", identity.sandbox),
    ]
    .map(|(name, value): (_, &'a str)| (name, value.to_owned()))
    .into()
}

fn owned(variables: Vec<(&'static str, String)>) -> Vec<(String, String)> {
    variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn flag(value: bool) -> String {
    String::from(if value { "1" } else { "0" })
}
