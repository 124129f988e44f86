//! `tasks/log`: what a task has written, from the agent it runs on.
//!
//! `GET …/tasks/{name}/log?stream=stdout|stderr&follow=true|false&tailLines=N`
//!
//! The control plane looks up where the task was placed, dials that agent and streams its answer
//! through. Whoever follows a task that is not placed yet, or whose agent has not begun with it,
//! waits for that.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{StreamExt as _, TryStreamExt as _};
use http::StatusCode;
use http_body_util::{BodyExt as _, Limited};
use meseta_crds::{Agent, GROUP, Task, VERSION};
use serde::Deserialize as _;
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::{Call, LiveResource, Shape};
use crate::answer::{self, Body, BoxError, Response};
use crate::cache::{Selection, Start, Subscription};
use crate::object::Object;
use crate::request::params::Query;
use crate::request::verb::Verb;
use crate::selector::FieldSelector;
use crate::server::Server;
use crate::status::Failure;
use crate::storage::Resource;

/// How long somebody who follows waits for the task to be placed and begun.
const MAX_PLACEMENT_WAIT: Duration = Duration::from_secs(60 * 60);
/// How often an agent is asked again that does not know the task yet.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Bytes of an agent's refusal that are read.
const MAX_REFUSAL_BYTES: usize = 64 * 1024;

/// See the module.
pub(super) struct Logs {
    agents: Option<meseta_serve::Client>,
}

/// What of the output is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    stream: &'static str,
    follow: bool,
    tail_lines: Option<u64>,
}

impl Logs {
    pub(super) fn new(agents: Option<meseta_serve::Client>) -> Self {
        Self { agents }
    }

    async fn stream(&self, call: Call<'_>) -> Result<Response, Failure> {
        let wanted = Wanted::parse(call.query)?;
        let agents = self
            .agents
            .as_ref()
            .ok_or_else(|| Failure::unavailable("this control plane cannot call agents"))?;
        let room = call.server.limits.stream()?;
        let tasks = resource(call.server, "tasks");
        let mut changes = watch_task(&call, tasks)?;
        let deadline = Instant::now() + MAX_PLACEMENT_WAIT;
        let key = crate::object::key(&call.objects.namespace, &call.objects.name);
        loop {
            let stored = tasks.read(call.server.store(), &key).await?;
            let stored =
                stored.ok_or_else(|| Failure::not_found(&tasks.kind, &call.objects.name))?;
            let task = read_task(&stored)?;
            let waits = wanted.follow && !is_over(&task) && Instant::now() < deadline;
            match task.spec.agent_name.as_deref().filter(|agent| !agent.is_empty()) {
                None if !waits => return Err(not_placed(&call.objects.name)),
                None => {}
                Some(agent) => {
                    let path = wanted.path(stored.uid());
                    let response = ask(call.server, agents, agent, &path).await?;
                    if response.status() == StatusCode::OK {
                        return Ok(pass_through(response, room));
                    }
                    if !(waits && response.status() == StatusCode::NOT_FOUND) {
                        return Ok(refusal(response).await);
                    }
                }
            }
            wait(call.server, tasks, &call, &mut changes).await?;
        }
    }
}

impl LiveResource for Logs {
    fn shape(&self) -> Shape<'_> {
        Shape::Subresource { resource: "tasks", subresource: "log", verbs: &[Verb::Get] }
    }

    fn serve<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Response, Failure>> {
        Box::pin(self.stream(call))
    }
}

impl Wanted {
    /// # Errors
    /// 400.
    fn parse(query: &Query<'_>) -> Result<Self, Failure> {
        let bad = |name: &str, value: &str, known: &str| {
            Failure::bad_request(format!("{name}: {value:?} is not known; it must be {known}"))
        };
        let stream = match query.get("stream") {
            None | Some("stdout") => "stdout",
            Some("stderr") => "stderr",
            Some(other) => return Err(bad("stream", other, "stdout or stderr")),
        };
        let tail_lines = query.get("tailLines").map(|text| {
            text.parse().map_err(|_| bad("tailLines", text, "a number that is not negative"))
        });
        Ok(Self { stream, follow: query.is_on("follow"), tail_lines: tail_lines.transpose()? })
    }

    /// The path at the agent.
    fn path(&self, uid: &str) -> String {
        let tail = self.tail_lines.map(|lines| format!("&tailLines={lines}")).unwrap_or_default();
        format!("/v1/tasks/{uid}/log?stream={}&follow={}{tail}", self.stream, self.follow)
    }
}

fn resource<'a>(server: &'a Server, plural: &str) -> &'a Arc<Resource> {
    server.resource(GROUP, VERSION, plural).expect("tasks and agents are served kinds")
}

fn read_task(object: &Object) -> Result<Task, Failure> {
    Task::deserialize(object.value()).map_err(Failure::internal)
}

fn is_over(task: &Task) -> bool {
    task.status.as_ref().is_some_and(|status| status.state.is_terminal())
}

fn not_placed(name: &str) -> Failure {
    Failure::bad_request(format!(
        "task {name:?} has no output: it was not placed on an agent; follow it to wait for that"
    ))
}

fn watch_task(call: &Call<'_>, tasks: &Resource) -> Result<Subscription, Failure> {
    let fields = FieldSelector::parse(&format!("metadata.name={}", call.objects.name), &tasks.kind);
    let selection = Selection {
        namespace: Some(call.objects.namespace.clone()),
        fields: fields.map_err(Failure::bad_request)?,
        ..Selection::default()
    };
    // The current state is read from the store: what comes after the cache's is enough.
    tasks
        .cache
        .watch(selection, Start::Current)
        .map_err(|_| Failure::internal("a watch of the current state begins at any time"))
}

/// Waits until the task has changed, or it is time to ask again.
///
/// # Errors
/// 503 where the server stops.
async fn wait(
    server: &Server,
    tasks: &Resource,
    call: &Call<'_>,
    changes: &mut Subscription,
) -> Result<(), Failure> {
    tokio::select! {
        () = server.shutdown.cancelled() => Err(Failure::unavailable("the server stops")),
        () = tokio::time::sleep(ASK_AGAIN) => Ok(()),
        change = changes.next() => {
            if change.is_none() {
                *changes = watch_task(call, tasks)?;
            }
            Ok(())
        }
    }
}

/// Dials an agent under each of its addresses until one answers.
///
/// # Errors
/// 503 where none does.
async fn ask(
    server: &Server,
    agents: &meseta_serve::Client,
    agent: &str,
    path: &str,
) -> Result<http::Response<hyper::body::Incoming>, Failure> {
    let stored = resource(server, "agents").read(server.store(), agent).await?;
    let addresses = stored
        .and_then(|stored| Agent::deserialize(stored.value()).ok())
        .and_then(|agent| agent.status)
        .map(|status| status.addresses)
        .unwrap_or_default();
    let name = meseta_pki::agent_server_name(agent);
    let mut why = "it has not said where it listens".to_owned();
    for address in &addresses {
        match agents.get(address, &name, path).await {
            Ok(response) => return Ok(response),
            Err(error) => why = crate::storage::with_causes(&error),
        }
    }
    Err(Failure::unavailable(format!("agent {agent:?} cannot be asked: {why}")))
}

/// The output, which holds its room until it ends.
fn pass_through(
    response: http::Response<hyper::body::Incoming>,
    room: OwnedSemaphorePermit,
) -> Response {
    let output = response.into_body().into_data_stream().map_err(BoxError::from);
    let output = output.inspect(move |_| _ = &room);
    answer::answer(StatusCode::OK, "text/plain; charset=utf-8", Body::stream(output))
}

/// What the agent said instead of output.
async fn refusal(response: http::Response<hyper::body::Incoming>) -> Response {
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_REFUSAL_BYTES).collect().await;
    let bytes = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    match serde_json::from_slice::<Value>(&bytes) {
        Ok(value) => answer::value(status, crate::request::media::Encoding::Json, &value),
        Err(_) => answer::text(status, bytes),
    }
}

#[cfg(test)]
mod tests;
