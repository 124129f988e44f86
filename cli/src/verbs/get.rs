//! `meseta get`

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::Value;

use crate::Connection;
use crate::api::{Kind, Server, kind_and_name, query_escape};
use crate::failure::Failure;
use crate::out;
use crate::table::{self, Columns, Layout};

pub(crate) const EXAMPLES: &str = "Examples:
  meseta get agents
  meseta get tasks -A -o wide
  meseta get framework wordcount -o yaml
  meseta get tasks -l meseta.dev/framework=wordcount -w";

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const JSON: &str = "application/json";
/// A line of a watch holds one record; the server takes none beyond 1.5 MiB.
const MAX_LINE_BYTES: usize = 16 * 1024 * 1024;

#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// KIND, KIND NAME or KIND/NAME.
    #[arg(required = true, num_args = 1..=2, value_name = "KIND [NAME]")]
    what: Vec<String>,
    #[command(flatten)]
    connection: Connection,
    /// Records of all namespaces.
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Only records with these labels.
    #[arg(short = 'l', long, value_name = "LABELS")]
    selector: Option<String>,
    /// Only records with these fields, such as `status.state=Running`.
    #[arg(long, value_name = "FIELDS")]
    field_selector: Option<String>,
    /// Leave out the line of column names.
    #[arg(long)]
    no_headers: bool,
    /// Go on and print each change.
    #[arg(short, long)]
    watch: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Wide,
    Json,
    Yaml,
    Name,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let (kind, name) = kind_and_name(&args.what)?;
    if name.is_some() && args.all_namespaces {
        let why = "a name is of one namespace; leave out the name or --all-namespaces";
        return Err(Failure::Usage(why.to_owned()).into());
    }
    let server = args.connection.open().await?;
    let kind = server.kind(kind).await?;
    let printer = Printer {
        output: args.output,
        layout: Layout {
            wide: args.output == Output::Wide,
            namespaces: args.all_namespaces && kind.namespaced,
            headers: !args.no_headers,
        },
        columns: Columns::default(),
        kind: kind.clone(),
    };
    let path = kind.path((!args.all_namespaces).then_some(server.namespace.as_str()));
    show(&server, &path, name, &args, printer).await
}

async fn show(
    server: &Server,
    path: &str,
    name: Option<&str>,
    args: &Args,
    mut printer: Printer,
) -> Result<()> {
    let accept = printer.accept();
    let mut query = Vec::new();
    for (key, selector) in
        [("labelSelector", &args.selector), ("fieldSelector", &args.field_selector)]
    {
        query.extend(selector.iter().map(|selector| format!("{key}={}", query_escape(selector))));
    }
    let first = match name {
        Some(name) => server.fetch(&format!("{path}/{}", query_escape(name)), accept).await,
        None => server.fetch(&format!("{path}?{}", query.join("&")), accept).await,
    };
    let what = printer.kind.full_name();
    let first = first.with_context(|| format!("cannot get {what}"))?;
    if name.is_none() && !args.watch && printer.is_empty(&first) {
        let place = if args.all_namespaces || !printer.kind.namespaced {
            String::new()
        } else {
            format!(" in namespace {}", server.namespace)
        };
        tracing::debug!(kind = what, "nothing found");
        if matches!(printer.output, Output::Table | Output::Wide) {
            return note(&format!("No {what} found{place}."));
        }
    }
    printer.print(&first)?;
    if !args.watch {
        return Ok(());
    }
    if let Some(name) = name {
        query.push(format!("fieldSelector={}", query_escape(&format!("metadata.name={name}"))));
    }
    query.push("watch=true".to_owned());
    query.push(format!("resourceVersion={}", version(&first)));
    let body = server.stream(&format!("{path}?{}", query.join("&")), accept).await?;
    follow(body, |event| match event["type"].as_str() {
        Some("BOOKMARK") => Ok(()),
        Some("ERROR") => {
            let why = event["object"]["message"].as_str().unwrap_or("no reason given");
            anyhow::bail!("the watch was ended by the server: {why}")
        }
        _ => printer.print(&event["object"]),
    })
    .await
}

fn note(text: &str) -> Result<()> {
    use std::io::Write as _;
    Ok(writeln!(std::io::stderr(), "{text}")?)
}

/// A table of one record has no version of its own where the server leaves it out.
fn version(answer: &Value) -> &str {
    let own = answer["metadata"]["resourceVersion"].as_str().filter(|version| !version.is_empty());
    let of_row = || answer["rows"][0]["object"]["metadata"]["resourceVersion"].as_str();
    own.or_else(of_row).unwrap_or("0")
}

/// Gives each line of a stream, parsed.
async fn follow(mut body: Body, mut each: impl FnMut(Value) -> Result<()>) -> Result<()> {
    let mut buffer = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.context("the watch broke off")?.into_data() else { continue };
        buffer.extend_from_slice(&data);
        while let Some(end) = buffer.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            each(serde_json::from_slice(&line).context("the server's answer is not JSON")?)?;
        }
        anyhow::ensure!(buffer.len() < MAX_LINE_BYTES, "an event of the watch is too long");
    }
    Ok(())
}

struct Printer {
    output: Output,
    layout: Layout,
    columns: Columns,
    kind: Kind,
}

impl Printer {
    fn accept(&self) -> &'static str {
        match self.output {
            Output::Table | Output::Wide => TABLE,
            Output::Json | Output::Yaml | Output::Name => JSON,
        }
    }

    fn is_empty(&self, answer: &Value) -> bool {
        let list = &answer[if self.accept() == TABLE { "rows" } else { "items" }];
        list.as_array().is_none_or(Vec::is_empty)
    }

    fn print(&mut self, answer: &Value) -> Result<()> {
        match self.output {
            Output::Table | Output::Wide => {
                for line in table::lines(answer, self.layout, &mut self.columns) {
                    out::line(format_args!("{line}"))?;
                }
                Ok(())
            }
            Output::Json => out::line(format_args!("{}", serde_json::to_string_pretty(answer)?)),
            Output::Yaml => {
                let text = serde_yaml::to_string(answer)?;
                let mark =
                    if self.layout.headers && text.starts_with("---") { "" } else { "---\n" };
                out::bytes(format!("{mark}{text}").as_bytes())
            }
            Output::Name => {
                let one = std::slice::from_ref(answer);
                let records = answer["items"].as_array().map_or(one, Vec::as_slice);
                for name in records.iter().filter_map(|record| record["metadata"]["name"].as_str())
                {
                    out::line(format_args!("{}", self.kind.reference(name)))?;
                }
                Ok(())
            }
        }
    }
}
