//! `meseta apply`

use anyhow::{Context as _, Result};
use clap::Parser;
use http::Request;
use http::header::CONTENT_TYPE;
use kube::api::{Patch, PatchParams, ValidationDirective};
use serde_json::{Map, Value, json};

use crate::Connection;
use crate::api::{Kind, Server};
use crate::failure::{self, Failure};
use crate::{documents, out};

pub(crate) const EXAMPLES: &str = "Examples:
  meseta apply -f examples/quickstart.yaml
  cat job.yaml | meseta apply -f -";

/// Where the last applied text is kept; kubectl's, so that both see each other's changes.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// YAML or JSON file; `-` is stdin. May be given several times.
    #[arg(short, long = "filename", required = true, value_name = "FILE")]
    filenames: Vec<String>,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let records = documents::read(&args.filenames)?;
    let server = args.connection.open().await?;
    let all = records.len();
    let mut failed = 0;
    for record in records {
        match apply(&server, record).await {
            Ok(line) => out::line(format_args!("{line}"))?,
            Err(error) if all == 1 => return Err(error),
            Err(error) => {
                failure::say(&error);
                failed += 1;
            }
        }
    }
    if failed > 0 { Err(Failure::Partial { failed, all }.into()) } else { Ok(()) }
}

async fn apply(server: &Server, mut record: Value) -> Result<String> {
    let words = |field: &str| record[field].as_str().unwrap_or_default().to_owned();
    let kind = server.kind_of(&words("apiVersion"), &words("kind")).await?;
    let name = record["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let reference = kind.reference(&name);
    let namespace = namespace(server, &kind, &mut record);
    let done = write(server, &kind, &namespace, &name, &record)
        .await
        .with_context(|| format!("cannot apply {reference}"))?;
    Ok(format!("{reference} {done}"))
}

/// The record's own namespace, else the one in use.
fn namespace(server: &Server, kind: &Kind, record: &mut Value) -> String {
    if !kind.namespaced {
        return String::new();
    }
    let own = record["metadata"]["namespace"].as_str().map(str::to_owned);
    let namespace = own.unwrap_or_else(|| server.namespace.clone());
    record["metadata"]["namespace"] = json!(namespace);
    namespace
}

async fn write(
    server: &Server,
    kind: &Kind,
    namespace: &str,
    name: &str,
    record: &Value,
) -> Result<&'static str> {
    let api = kind.api(&server.client, namespace);
    let wanted = annotated(record)?;
    let Some(current) = api.get_opt(name).await? else {
        let path = format!("{}?fieldValidation=Strict", kind.path(Some(namespace)));
        let request = Request::post(path)
            .header(CONTENT_TYPE, "application/json")
            .body(serde_json::to_vec(&wanted)?)?;
        let _: Value = server.client.request(request).await?;
        return Ok("created");
    };
    let current = serde_json::to_value(current)?;
    let last = current["metadata"]["annotations"][LAST_APPLIED].as_str();
    let last: Value = last.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let Some(patch) = difference(&last, &current, &wanted) else { return Ok("unchanged") };
    let params = PatchParams {
        field_validation: Some(ValidationDirective::Strict),
        ..PatchParams::default()
    };
    api.patch(name, &params, &Patch::Merge(patch)).await?;
    Ok("configured")
}

/// The record with itself as an annotation.
fn annotated(record: &Value) -> Result<Value> {
    let mut plain = record.clone();
    if let Some(annotations) = plain["metadata"]["annotations"].as_object_mut() {
        annotations.remove(LAST_APPLIED);
    }
    let text = format!("{}\n", serde_json::to_string(&plain)?);
    let mut annotations = plain["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
    annotations.insert(LAST_APPLIED.to_owned(), text.into());
    plain["metadata"]["annotations"] = annotations.into();
    Ok(plain)
}

/// The merge patch that makes `current` what is `wanted` and removes what was wanted `last` time
/// and is no more; `None` where nothing is to do.
fn difference(last: &Value, current: &Value, wanted: &Value) -> Option<Value> {
    let (Value::Object(current), Value::Object(wanted)) = (current, wanted) else {
        return (current != wanted).then(|| wanted.clone());
    };
    let mut patch = Map::new();
    for (key, value) in wanted {
        let change = match current.get(key) {
            Some(now) => difference(&last[key.as_str()], now, value),
            // A null asks for the field's absence, and it is absent.
            None => (!value.is_null()).then(|| value.clone()),
        };
        patch.extend(change.map(|change| (key.clone(), change)));
    }
    for key in last.as_object().into_iter().flat_map(Map::keys) {
        if !wanted.contains_key(key) && current.contains_key(key) {
            patch.insert(key.clone(), Value::Null);
        }
    }
    (!patch.is_empty()).then(|| patch.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_holds_what_differs_and_removes_what_is_no_more_wanted() {
        let current = json!({"a": 1, "b": {"c": 1, "d": 2, "status": 5}, "l": [1]});
        let last = json!({"a": 1, "b": {"c": 1, "d": 2}, "gone": 1});
        let check = |wanted: Value, patch: Option<Value>| {
            assert_eq!(difference(&last, &current, &wanted), patch, "{wanted}");
        };
        check(json!({"a": 1, "b": {"c": 1, "d": 2}}), None);
        check(json!({"a": 1, "b": {"c": 9, "d": 2}}), Some(json!({"b": {"c": 9}})));
        check(json!({"a": 1, "b": {"c": 1}}), Some(json!({"b": {"d": null}})));
        check(json!({"b": {"c": 1, "d": 2}, "l": [1, 2]}), Some(json!({"l": [1, 2], "a": null})));
    }

    #[test]
    fn the_annotation_does_not_contain_itself() {
        let record = json!({"metadata": {"name": "a", "annotations": {"x": "y"}}});
        let once = annotated(&record).unwrap();
        assert_eq!(annotated(&once).unwrap(), once);
        assert_eq!(once["metadata"]["annotations"]["x"], "y");
    }
}
