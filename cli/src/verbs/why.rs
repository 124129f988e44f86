//! `meseta why`

use anyhow::{Context as _, Result};
use clap::Parser;
use serde_json::Value;

use crate::Connection;
use crate::api::kind_and_name;
use crate::out;

pub(crate) const EXAMPLES: &str = "Examples:
  meseta why wordcount-map-3
  meseta why framework/wordcount";

#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// Name of a task, or KIND/NAME.
    what: String,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let (kind, name) = match kind_and_name(std::slice::from_ref(&args.what))? {
        (kind, Some(name)) => (kind, name),
        (task, None) => ("tasks", task),
    };
    let server = args.connection.open().await?;
    let kind = server.kind(kind).await?;
    let record = kind
        .api(&server.client, &server.namespace)
        .get(name)
        .await
        .with_context(|| format!("cannot look at {}", kind.reference(name)))?;
    let record = serde_json::to_value(record)?;
    out::line(format_args!("{}", sentence(&kind.resource.kind, name, &record)))
}

/// What the record says about itself, in a sentence.
fn sentence(kind: &str, name: &str, record: &Value) -> String {
    let who = format!("{} {name}", kind.to_lowercase());
    let status = &record["status"];
    let told = [status["message"].as_str(), status["reason"].as_str()].into_iter().flatten();
    let told = told.filter(|text| !text.is_empty()).map(str::to_owned).next();
    let because = told.map(|text| format!(": {text}")).unwrap_or_default();
    let deleting = record["metadata"]["deletionTimestamp"].is_string();
    let state = status["state"].as_str().unwrap_or(if kind == "Task" { "Pending" } else { "" });
    let agent = record["spec"]["agentName"].as_str();
    let shown_deletion = if deleting { "; it is being deleted" } else { "" };
    if kind == "Framework" && record["spec"]["scheduler"].is_object() {
        return format!("{}{shown_deletion}{}", scheduler(&who, record), reasons(status));
    }
    let container = &status["containers"][0];
    let exit = container["exitCode"].as_i64().map(|code| format!(" with exit code {code}"));
    let sentence = match (kind, state) {
        ("Task", "Pending") if agent.is_none() => {
            let why = condition(status, "Placed").and_then(|placed| placed["message"].as_str());
            format!("{who} waits for an agent: {}", why.unwrap_or("nobody has looked at it yet"))
        }
        ("Task", _) => {
            let on = agent.map(|agent| format!(" on agent {agent}")).unwrap_or_default();
            format!("{who} is {state}{on}{}{because}", exit.unwrap_or_default())
        }
        _ => {
            let shown = match status["summary"].as_str() {
                Some(summary) => format!("{who} is {state} ({summary}){because}"),
                None if state.is_empty() => who,
                None => format!("{who} is {state}{because}"),
            };
            shown + &reasons(status)
        }
    };
    sentence + shown_deletion
}

/// What a framework with an external scheduler is doing: that is the scheduler's to decide.
fn scheduler(who: &str, record: &Value) -> String {
    let (spec, status) = (&record["spec"]["scheduler"], &record["status"]);
    let roles = spec["roles"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let roles = roles.collect::<Vec<_>>().join(", ");
    let seen = &status["scheduler"];
    let since = seen["since"].as_str().map(|since| format!(" since {since}")).unwrap_or_default();
    let tasks = match status["summary"].as_str().and_then(|summary| summary.parse::<u64>().ok()) {
        Some(1) => " with 1 active task".to_owned(),
        Some(tasks) => format!(" with {tasks} active tasks"),
        None => String::new(),
    };
    match seen["connected"].as_bool() {
        Some(true) => format!(
            "{who} is run by an external scheduler{tasks}, which is connected{since} and decides \
             itself what to launch of what it is offered for {roles}"
        ),
        Some(false) if record["metadata"]["deletionTimestamp"].is_string() => {
            format!("{who} is run by an external scheduler{tasks}, which is gone{since}")
        }
        Some(false) => {
            let timeout = spec["failoverTimeoutSeconds"].as_i64().unwrap_or_default();
            format!(
                "{who} is run by an external scheduler{tasks}, which is gone{since}; unless it \
                 comes back within {timeout} s, the framework and its tasks are removed"
            )
        }
        None => format!("{who} is run by an external scheduler that was not seen yet"),
    }
}

/// The conditions that say something, a line each.
fn reasons(status: &Value) -> String {
    let lines = conditions(status).filter_map(|condition| {
        let message = condition["message"].as_str().filter(|text| !text.is_empty())?;
        let (name, value) = (condition["type"].as_str()?, condition["status"].as_str()?);
        Some(format!("\n  {name}={value}: {message}"))
    });
    lines.collect()
}

fn conditions(status: &Value) -> impl Iterator<Item = &Value> {
    status["conditions"].as_array().into_iter().flatten()
}

fn condition<'a>(status: &'a Value, name: &str) -> Option<&'a Value> {
    conditions(status).find(|condition| condition["type"] == name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pending_task_says_what_it_waits_for() {
        let placed = json!([{"type": "Placed", "status": "False", "message": "needs 4 cpus"}]);
        let record = json!({"status": {"state": "Pending", "conditions": placed}});
        assert_eq!(sentence("Task", "a", &record), "task a waits for an agent: needs 4 cpus");
        let new = sentence("Task", "a", &json!({}));
        assert_eq!(new, "task a waits for an agent: nobody has looked at it yet");
    }

    #[test]
    fn a_failed_task_says_where_how_and_why() {
        let record = json!({"spec": {"agentName": "n1"}, "metadata": {"deletionTimestamp": "x"},
            "status": {"state": "Failed", "reason": "NonZeroExit", "containers": [{"exitCode": 3}]}});
        assert_eq!(
            sentence("Task", "a", &record),
            "task a is Failed on agent n1 with exit code 3: NonZeroExit; it is being deleted"
        );
    }

    #[test]
    fn a_framework_of_an_external_scheduler_says_whether_it_is_there() {
        let record = |status: Value| {
            json!({"status": status, "spec": {"role": "eng", "scheduler": {
                "roles": ["eng", "*"], "failoverTimeoutSeconds": 60}}})
        };
        let since = "2026-01-02T03:04:05Z";
        let seen = |connected: bool| {
            record(json!({"state": "Connected", "summary": "3",
                "scheduler": {"connected": connected, "since": since}}))
        };
        assert_eq!(
            sentence("Framework", "f", &seen(true)),
            "framework f is run by an external scheduler with 3 active tasks, which is connected \
             since 2026-01-02T03:04:05Z and decides itself what to launch of what it is offered for \
             eng, *"
        );
        assert_eq!(
            sentence("Framework", "f", &seen(false)),
            "framework f is run by an external scheduler with 3 active tasks, which is gone since \
             2026-01-02T03:04:05Z; unless it comes back within 60 s, the framework and its tasks are \
             removed"
        );
        let mut deleted = seen(false);
        deleted["metadata"]["deletionTimestamp"] = since.into();
        assert_eq!(
            sentence("Framework", "f", &deleted),
            "framework f is run by an external scheduler with 3 active tasks, which is gone since \
             2026-01-02T03:04:05Z; it is being deleted"
        );
        assert_eq!(
            sentence("Framework", "f", &record(json!({}))),
            "framework f is run by an external scheduler that was not seen yet"
        );
    }

    #[test]
    fn a_framework_says_its_conditions() {
        let conditions = json!([{"type": "Ready", "status": "False", "message": "2 tasks wait"}]);
        let record =
            json!({"status": {"state": "Running", "summary": "1/3", "conditions": conditions}});
        assert_eq!(
            sentence("Framework", "f", &record),
            "framework f is Running (1/3)\n  Ready=False: 2 tasks wait"
        );
    }
}
