//! `meseta delete`

use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use kube::api::DeleteParams;

use crate::Connection;
use crate::api::{Kind, Server, kind_and_name};
use crate::failure::{self, Failure};
use crate::verbs::wait;
use crate::{documents, out};

pub(crate) const EXAMPLES: &str = "Examples:
  meseta delete framework wordcount
  meseta delete task/a --wait=false
  meseta delete -f examples/quickstart.yaml";

#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// KIND NAME or KIND/NAME.
    #[arg(required_unless_present = "filenames", num_args = 1..=2, value_name = "KIND NAME")]
    what: Vec<String>,
    /// Delete what is in a YAML or JSON file; `-` is stdin.
    #[arg(short, long = "filename", value_name = "FILE", conflicts_with = "what")]
    filenames: Vec<String>,
    #[command(flatten)]
    connection: Connection,
    /// Wait until the records, and with them their containers, are gone.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    wait: bool,
    /// How long to wait, such as 90s or 5m.
    #[arg(long, value_parser = wait::duration, default_value = "5m")]
    timeout: Duration,
    /// It is no failure where there is nothing to delete.
    #[arg(long)]
    ignore_not_found: bool,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let server = args.connection.open().await?;
    let targets = targets(&server, &args).await?;
    let all = targets.len();
    let mut failed = 0;
    for (kind, namespace, name) in targets {
        match delete(&server, &kind, &namespace, &name, &args).await {
            Ok(true) => out::line(format_args!("{} deleted", kind.reference(&name)))?,
            Ok(false) => {}
            Err(error) if all == 1 => return Err(error),
            Err(error) => {
                failure::say(&error);
                failed += 1;
            }
        }
    }
    if failed > 0 { Err(Failure::Partial { failed, all }.into()) } else { Ok(()) }
}

async fn targets(server: &Server, args: &Args) -> Result<Vec<(Kind, String, String)>> {
    if args.filenames.is_empty() {
        let (kind, name) = kind_and_name(&args.what)?;
        let Some(name) = name else {
            return Err(Failure::Usage(format!("which {kind}? give its name")).into());
        };
        return Ok(vec![(server.kind(kind).await?, server.namespace.clone(), name.to_owned())]);
    }
    let mut targets = Vec::new();
    for record in documents::read(&args.filenames)? {
        let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let kind = server.kind_of(&word(&record["apiVersion"]), &word(&record["kind"])).await?;
        let namespace = record["metadata"]["namespace"].as_str().unwrap_or(&server.namespace);
        targets.push((kind, namespace.to_owned(), word(&record["metadata"]["name"])));
    }
    Ok(targets)
}

/// Says whether there was something to delete.
async fn delete(
    server: &Server,
    kind: &Kind,
    namespace: &str,
    name: &str,
    args: &Args,
) -> Result<bool> {
    let api = kind.api(&server.client, namespace);
    let reference = kind.reference(name);
    let deleted = api
        .delete(name, &DeleteParams::background())
        .await
        .with_context(|| format!("cannot delete {reference}"));
    match deleted {
        Err(error) if args.ignore_not_found && failure::status_code(&error) == Some(404) => {
            return Ok(false);
        }
        deleted => drop(deleted?),
    }
    if args.wait {
        wait::until(api, name, &reference, "gone", args.timeout, |record| Ok(record.is_none()))
            .await?;
    }
    Ok(true)
}
