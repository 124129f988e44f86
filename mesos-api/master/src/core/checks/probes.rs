//! What a Mesos master checks of checks and health checks.

use meseta_mesos_wire::v1;
use meseta_mesos_wire::v1::{check_info, health_check};

fn probe(of: &str, what: &str, probe: Option<&v1::CommandInfo>) -> Result<(), String> {
    let Some(probe) = probe else {
        return Err(format!("Expecting 'command' to be set for COMMAND {what}"));
    };
    if probe.value.is_none() {
        let kind = if probe.shell() { "shell command" } else { "executable path" };
        return Err(format!("Command {what} must contain '{kind}'"));
    }
    super::command(probe).map_err(|fault| format!("{of}'s `CommandInfo` is invalid: {fault}"))
}

fn path(what: &str, path: Option<&String>) -> Result<(), String> {
    match path {
        Some(path) if !path.starts_with('/') => {
            Err(format!("The path '{path}' of HTTP {what} must start with '/'"))
        }
        _ => Ok(()),
    }
}

fn not_negative(fields: &[(&str, Option<f64>)]) -> Result<(), String> {
    match fields.iter().find(|(_, value)| value.is_some_and(|value| value < 0.0)) {
        Some((name, _)) => Err(format!("Expecting '{name}' to be non-negative")),
        None => Ok(()),
    }
}

pub(super) fn health_check(check: &v1::HealthCheck) -> Result<(), String> {
    use health_check::Type;
    const WHAT: &str = "health check";
    // An old form, in which the body says the type.
    let kind = match (check.r#type, &check.command, &check.http) {
        (Some(_), _, _) => check.r#type(),
        (None, Some(_), None) => Type::Command,
        (None, None, Some(_)) => Type::Http,
        (None, _, _) => return Err("HealthCheck must specify 'type'".to_owned()),
    };
    match kind {
        Type::Command => probe("Health check", WHAT, check.command.as_ref())?,
        Type::Http => {
            let Some(http) = &check.http else {
                return Err("Expecting 'http' to be set for HTTP health check".to_owned());
            };
            if let Some(scheme) = http.scheme.as_deref().filter(|s| !matches!(*s, "http" | "https"))
            {
                return Err(format!("Unsupported HTTP health check scheme: '{scheme}'"));
            }
            path(WHAT, http.path.as_ref())?;
        }
        Type::Tcp if check.tcp.is_none() => {
            return Err("Expecting 'tcp' to be set for TCP health check".to_owned());
        }
        Type::Tcp => {}
        Type::Unknown => return Err("'UNKNOWN' is not a valid health check type".to_owned()),
    }
    not_negative(&[
        ("delay_seconds", check.delay_seconds),
        ("grace_period_seconds", check.grace_period_seconds),
        ("interval_seconds", check.interval_seconds),
        ("timeout_seconds", check.timeout_seconds),
    ])
}

pub(super) fn check(check: &v1::CheckInfo) -> Result<(), String> {
    use check_info::Type;
    const WHAT: &str = "check";
    if check.r#type.is_none() {
        return Err("CheckInfo must specify 'type'".to_owned());
    }
    match check.r#type() {
        Type::Command => probe("Check", WHAT, check.command.as_ref().map(|check| &check.command))?,
        Type::Http => match &check.http {
            Some(http) => path(WHAT, http.path.as_ref())?,
            None => return Err("Expecting 'http' to be set for HTTP check".to_owned()),
        },
        Type::Tcp if check.tcp.is_none() => {
            return Err("Expecting 'tcp' to be set for TCP check".to_owned());
        }
        Type::Tcp => {}
        Type::Unknown => return Err("'UNKNOWN' is not a valid check type".to_owned()),
    }
    not_negative(&[
        ("delay_seconds", check.delay_seconds),
        ("interval_seconds", check.interval_seconds),
        ("timeout_seconds", check.timeout_seconds),
    ])
}
