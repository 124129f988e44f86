//! `meseta wait`

use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use futures::StreamExt as _;
use kube::api::{Api, DynamicObject};
use kube::runtime::watcher;
use serde_json::Value;

use crate::Connection;
use crate::api::kind_and_name;
use crate::failure::Failure;
use crate::out;

pub(crate) const EXAMPLES: &str = "Examples:
  meseta wait framework/wordcount --for=condition=Succeeded --timeout=5m
  meseta wait task/a --for=jsonpath='{.status.state}'=Running
  meseta wait task/a --for=delete";

#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// KIND/NAME or KIND NAME.
    #[arg(required = true, num_args = 1..=2, value_name = "KIND/NAME")]
    what: Vec<String>,
    /// `condition=NAME[=VALUE]`, `jsonpath={.path}=VALUE`, `create` or `delete`.
    #[arg(long = "for", value_name = "WHAT", value_parser = goal)]
    goal: Goal,
    /// How long to wait, such as 90s or 5m.
    #[arg(long, value_parser = duration, default_value = "30s")]
    timeout: Duration,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Goal {
    Condition { name: String, value: String },
    Path { path: Vec<String>, value: String },
    Create,
    Delete,
}

fn goal(text: &str) -> Result<Goal, String> {
    if let Some(condition) = text.strip_prefix("condition=") {
        let (name, value) = condition.split_once('=').unwrap_or((condition, "True"));
        return Ok(Goal::Condition { name: name.to_owned(), value: value.to_owned() });
    }
    if let Some(path) = text.strip_prefix("jsonpath=") {
        let (path, value) =
            path.rsplit_once('=').ok_or("a jsonpath needs a value: {.path}=VALUE")?;
        let path = path.trim_start_matches('{').trim_end_matches('}');
        if path.contains(['[', '*', '?', ' ']) || !path.starts_with('.') {
            return Err("a jsonpath is a row of fields here, such as {.status.state}".to_owned());
        }
        let path = path.split('.').skip(1).map(str::to_owned).collect();
        return Ok(Goal::Path { path, value: value.to_owned() });
    }
    match text {
        "create" => Ok(Goal::Create),
        "delete" => Ok(Goal::Delete),
        _ => {
            Err("wanted: condition=NAME[=VALUE], jsonpath={.path}=VALUE, create or delete"
                .to_owned())
        }
    }
}

/// `90s`, `5m`, `1h`, `300ms`, or seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| format!("`{text}` is not a time such as 90s"))?;
    let unit_millis = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(format!("`{unit}` is not a unit of time; s, m and h are")),
    };
    number.checked_mul(unit_millis).map(Duration::from_millis).ok_or_else(|| "too long".to_owned())
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let (kind, name) = kind_and_name(&args.what)?;
    let Some(name) = name else {
        return Err(Failure::Usage(format!("which {kind}? give its name")).into());
    };
    let server = args.connection.open().await?;
    let kind = server.kind(kind).await?;
    let reference = kind.reference(name);
    let api = kind.api(&server.client, &server.namespace);
    let wanted = match &args.goal {
        Goal::Condition { name, value } => format!("{name}={value}"),
        Goal::Path { path, value } => format!(".{}={value}", path.join(".")),
        Goal::Create => "there".to_owned(),
        Goal::Delete => "gone".to_owned(),
    };
    until(api, name, &reference, &wanted, args.timeout, |record| reached(&args.goal, record))
        .await?;
    out::line(format_args!("{reference} condition met"))
}

/// Watches a record until `reached` says yes.
pub(crate) async fn until(
    api: Api<DynamicObject>,
    name: &str,
    reference: &str,
    wanted: &str,
    timeout: Duration,
    reached: impl Fn(Option<&Value>) -> Result<bool>,
) -> Result<()> {
    let mut last = None;
    let waited = tokio::time::timeout(timeout, async {
        let mut records = watcher::watch_object(api, name).boxed();
        while let Some(record) = records.next().await {
            let record = match record {
                Ok(record) => record,
                // The watch begins again by itself, so a control plane may come back meanwhile.
                Err(watcher::Error::InitialListFailed(error @ kube::Error::Api(_))) => {
                    return Err(error).with_context(|| format!("cannot watch {reference}"));
                }
                Err(error) => {
                    tracing::debug!(%error, "watch begins again");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    continue;
                }
            };
            let record = record.map(serde_json::to_value).transpose()?;
            if reached(record.as_ref())? {
                return Ok(());
            }
            last = record;
        }
        anyhow::bail!("the watch of {reference} ended")
    })
    .await;
    waited.unwrap_or_else(|_| {
        let seen = last.as_ref().map_or_else(|| "it does not exist".to_owned(), summary);
        let seconds = timeout.as_secs_f64();
        let text = format!("{reference} is not {wanted} after {seconds} s; last seen: {seen}");
        Err(Failure::TimedOut(text).into())
    })
}

/// State and message of a record, for people.
fn summary(record: &Value) -> String {
    let status = &record["status"];
    let words: Vec<&str> = ["state", "summary", "reason", "message"]
        .iter()
        .filter_map(|field| status[field].as_str())
        .collect();
    if words.is_empty() { "no status".to_owned() } else { words.join(", ") }
}

fn reached(goal: &Goal, record: Option<&Value>) -> Result<bool> {
    let Some(record) = record else { return Ok(*goal == Goal::Delete) };
    Ok(match goal {
        Goal::Create => true,
        Goal::Delete => false,
        Goal::Path { path, value } => {
            let found = path.iter().fold(record, |at, field| &at[field.as_str()]);
            let found = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
            found == *value
        }
        Goal::Condition { name, value } => {
            condition(record, name).is_some_and(|found| found.eq_ignore_ascii_case(value))
        }
    })
}

/// Status of a condition, unless it is about an earlier generation.
fn condition<'a>(record: &'a Value, name: &str) -> Option<&'a str> {
    let conditions = record["status"]["conditions"].as_array()?;
    let found = conditions.iter().find(|condition| {
        condition["type"].as_str().is_some_and(|t| t.eq_ignore_ascii_case(name))
    })?;
    let observed = found["observedGeneration"].as_i64();
    let current = record["metadata"]["generation"].as_i64();
    let outdated = observed.zip(current).is_some_and(|(observed, current)| observed < current);
    found["status"].as_str().filter(|_| !outdated)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn goals_are_written_as_for_kubectl() {
        let condition =
            |name: &str, value: &str| Goal::Condition { name: name.into(), value: value.into() };
        assert_eq!(goal("condition=Ready"), Ok(condition("Ready", "True")));
        assert_eq!(goal("condition=Ready=False"), Ok(condition("Ready", "False")));
        let path = vec!["status".to_owned(), "state".to_owned()];
        assert_eq!(
            goal("jsonpath={.status.state}=Running"),
            Ok(Goal::Path { path, value: "Running".into() })
        );
        assert_eq!(goal("delete"), Ok(Goal::Delete));
        for wrong in ["", "Ready", "jsonpath={.a}", "jsonpath={.a[0]}=1"] {
            goal(wrong).unwrap_err();
        }
    }

    #[test]
    fn times_have_units() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(duration("7"), Ok(Duration::from_secs(7)));
        for wrong in ["", "s", "5x", "-1s", "99999999999999999999h"] {
            duration(wrong).unwrap_err();
        }
    }

    #[test]
    fn a_condition_of_an_earlier_generation_does_not_count() {
        let record = |observed: i64| {
            json!({"metadata": {"generation": 2}, "status": {"state": "x", "conditions": [
                {"type": "Ready", "status": "True", "observedGeneration": observed}]}})
        };
        let ready = goal("condition=ready").unwrap();
        assert!(reached(&ready, Some(&record(2))).unwrap());
        assert!(!reached(&ready, Some(&record(1))).unwrap());
        assert!(!reached(&ready, None).unwrap());
        assert!(reached(&goal("jsonpath={.status.state}=x").unwrap(), Some(&record(1))).unwrap());
    }
}
