//! `meseta logs`

use std::io::Write as _;

use anyhow::{Context as _, Result};
use clap::Parser;
use http_body_util::BodyExt as _;
use kube::client::Body;

use crate::Connection;
use crate::api::query_escape;
use crate::failure::Failure;
use crate::out;

pub(crate) const EXAMPLES: &str = "Examples:
  meseta logs wordcount-reduce-0
  meseta logs wordcount-map-1 -f
  meseta logs a --stderr --tail 20
  meseta logs a --stdout --stderr";

#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// Name of the task; `task/NAME` will do.
    task: String,
    /// Go on until the task has ended.
    #[arg(short, long)]
    follow: bool,
    /// Standard output; this is what is printed where nothing is chosen.
    #[arg(long)]
    stdout: bool,
    /// Standard error; on stderr if standard output is chosen too.
    #[arg(long)]
    stderr: bool,
    /// Only the last lines.
    #[arg(long, value_name = "LINES")]
    tail: Option<u32>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Clone, Copy)]
enum Target {
    Stdout,
    Stderr,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let name = match args.task.split_once('/') {
        None => args.task.as_str(),
        Some(("task" | "tasks" | "tsk", name)) => name,
        Some((kind, _)) => {
            return Err(Failure::Usage(format!("a {kind} writes no output; its tasks do")).into());
        }
    };
    let server = args.connection.open().await?;
    let open = async |stream: &str| {
        let tail = args.tail.map(|lines| format!("&tailLines={lines}")).unwrap_or_default();
        let path = format!(
            "/apis/{}/{}/namespaces/{}/tasks/{}/log?stream={stream}&follow={}{tail}",
            meseta_crds::LIVE_GROUP,
            meseta_crds::VERSION,
            server.namespace,
            query_escape(name),
            args.follow,
        );
        server
            .stream(&path, "text/plain")
            .await
            .with_context(|| format!("cannot read the {stream} of task {name}"))
    };
    match (args.stdout, args.stderr) {
        (_, false) => copy(open("stdout").await?, Target::Stdout).await,
        (false, true) => copy(open("stderr").await?, Target::Stdout).await,
        (true, true) => {
            let (stdout, stderr) = (open("stdout").await?, open("stderr").await?);
            tokio::try_join!(copy(stdout, Target::Stdout), copy(stderr, Target::Stderr))?;
            Ok(())
        }
    }
}

async fn copy(mut body: Body, target: Target) -> Result<()> {
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.context("the output broke off; ask again")?.into_data() else {
            continue;
        };
        match target {
            Target::Stdout => out::bytes(&data)?,
            Target::Stderr => std::io::stderr().write_all(&data)?,
        }
    }
    Ok(())
}
