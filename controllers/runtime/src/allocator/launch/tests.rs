//! What is concluded from the answers to the creation of records, and from their absence.

use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use meseta_crds::task::{Executor, MesosTask};
use meseta_crds::{Task, TaskSpec};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

use super::{Created, Launch, MAX_TRIES, Order, carry_out, place};
use crate::allocator::seats::Held;
use crate::cluster::Key;
use crate::leader::Fence;
use crate::market::LaunchError;
use crate::write::Writer;

/// What the server does with one creation.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Stores,
    /// It stores the record and nobody is told.
    StoresUnheard,
    /// Nothing is stored, and nobody is told.
    Fails,
    Refuses,
}

/// The records by name, and what is done with the next creations; the last goes on for ever.
#[derive(Default)]
struct Server {
    records: Mutex<std::collections::BTreeMap<String, Value>>,
    answers: Mutex<VecDeque<Answer>>,
    created: Mutex<Vec<String>>,
}

impl Server {
    fn new(answers: &[Answer]) -> Arc<Self> {
        Arc::new(Self { answers: Mutex::new(answers.iter().copied().collect()), ..Self::default() })
    }

    fn answer(&self, method: &Method, path: &str, body: &Value) -> Response<Body> {
        let respond = |code: u16, body: Value| {
            let body = Body::from(body.to_string().into_bytes());
            Response::builder().status(code).body(body).unwrap()
        };
        let status = |code: u16, reason: &str, message: &str| {
            let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
                "reason": reason, "message": message, "code": code});
            respond(code, body)
        };
        let mut records = self.records.lock().unwrap();
        if method == Method::GET {
            let name = path.rsplit('/').next().unwrap();
            return match records.get(name) {
                Some(record) => respond(200, record.clone()),
                None => status(404, "NotFound", "no such task"),
            };
        }
        let name = body["metadata"]["name"].as_str().unwrap().to_owned();
        if records.contains_key(&name) {
            return status(409, "AlreadyExists", "it exists");
        }
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().copied() };
        let mut record = body.clone();
        record["metadata"]["uid"] = json!(format!("uid of {name}"));
        match answer.unwrap() {
            Answer::Refuses => return status(422, "Invalid", "containers: Required value"),
            Answer::Fails => return status(500, "InternalError", "out of order"),
            Answer::Stores | Answer::StoresUnheard => {
                records.insert(name.clone(), record.clone());
                self.created.lock().unwrap().push(name);
            }
        }
        match answer.unwrap() {
            Answer::StoresUnheard => status(500, "InternalError", "out of order"),
            _ => respond(201, record),
        }
    }

    fn writer(self: &Arc<Self>) -> Writer {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
                let body = serde_json::from_slice(&body).unwrap_or_default();
                Ok::<_, Infallible>(server.answer(&parts.method, parts.uri.path(), &body))
            }
        });
        let fence = Fence::default();
        fence.begin(7, Duration::from_secs(3600));
        Writer::new(Client::new(service, "default"), fence, 7)
    }
}

fn task(name: &str) -> Task {
    let mesos = MesosTask { task_id: Some(name.to_owned()), ..MesosTask::default() };
    Task::new(name, TaskSpec { mesos: Some(mesos), ..TaskSpec::default() })
}

fn executor(name: &str) -> Task {
    let mut executor = task(name);
    executor.spec.executor = Some(Executor::default());
    executor
}

fn inside(name: &str, executor: &str) -> Task {
    let mut task = task(name);
    task.spec.executor_name = Some(executor.to_owned());
    task
}

/// What becomes of each, in a word.
async fn launch(server: &Arc<Server>, tasks: Vec<Task>, stop: &CancellationToken) -> Vec<String> {
    let held = Held {
        uid: "f".to_owned(),
        namespace: "default".to_owned(),
        role: "eng".to_owned(),
        agent: "one".to_owned(),
        offers: Vec::new(),
    };
    let orders = tasks.into_iter().map(|mut task| {
        place(&mut task, &held, 7);
        Order { key: Key::of(&task), task, refused: None }
    });
    let (answer, _) = oneshot::channel();
    let launch = Launch { orders: orders.collect(), assumed: BTreeSet::new(), answer };
    let permits = Arc::new(Semaphore::new(2));
    let outcome = carry_out(server.writer(), launch, permits, stop.clone()).await;
    let words = outcome.tasks.into_iter().map(|created| match created {
        Created::Stored(task) => format!("{} stored", task.metadata.name.unwrap()),
        Created::Not(key, LaunchError::Refused(why)) => format!("{} refused: {why}", key.name),
        Created::Not(key, err) => format!("{} {err:?}", key.name),
        Created::Unknown(key) => format!("{} unknown", key.name),
    });
    words.collect()
}

#[tokio::test]
async fn records_are_placed_from_birth_and_stay_in_order() {
    let server = Server::new(&[Answer::Stores]);
    let tasks = vec![inside("a", "x"), executor("x"), task("b")];
    let words = launch(&server, tasks, &CancellationToken::new()).await;
    assert_eq!(words, ["a stored", "x stored", "b stored"]);
    assert_eq!(server.created.lock().unwrap()[0], "x", "executors come first");
    for record in server.records.lock().unwrap().values() {
        assert_eq!(
            record["metadata"]["finalizers"],
            json!(["meseta.dev/agent", "meseta.dev/scheduler"])
        );
        assert_eq!(record["metadata"]["namespace"], "default");
        assert_eq!(record["spec"]["agentName"], "one");
        assert_eq!(record["spec"]["placement"], json!({"epoch": 7}));
        assert_eq!(record["spec"]["role"], "eng");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_lost_costs_another_try_and_no_second_record() {
    for first in [Answer::StoresUnheard, Answer::Fails] {
        let server = Server::new(&[first, Answer::Stores]);
        let words = launch(&server, vec![task("a")], &CancellationToken::new()).await;
        assert_eq!(words, ["a stored"], "{first:?}");
        assert_eq!(*server.created.lock().unwrap(), ["a"], "{first:?}");
    }
}

#[tokio::test]
async fn a_name_that_is_in_use_is_not_taken_for_an_own_task() {
    let server = Server::new(&[Answer::Stores]);
    let stop = CancellationToken::new();
    assert_eq!(launch(&server, vec![task("a")], &stop).await, ["a stored"]);
    assert_eq!(launch(&server, vec![task("a")], &stop).await, ["a Exists"]);
}

#[tokio::test]
async fn an_executor_that_is_there_is_used_unless_it_is_another_or_over() {
    let server = Server::new(&[Answer::Stores]);
    let stop = CancellationToken::new();
    assert_eq!(launch(&server, vec![executor("x")], &stop).await, ["x stored"]);
    let again = vec![executor("x"), inside("a", "x")];
    assert_eq!(launch(&server, again, &stop).await, ["x stored", "a stored"]);
    let mut other = executor("x");
    other.spec.mesos.as_mut().unwrap().executor_info = Some(json!({"name": "other"}));
    let words = launch(&server, vec![other, inside("b", "x")], &stop).await;
    assert_eq!(words, ["x Exists", "b Executor"]);
    server.records.lock().unwrap().get_mut("x").unwrap()["status"] = json!({"state": "Finished"});
    let words = launch(&server, vec![executor("x"), inside("b", "x")], &stop).await;
    assert_eq!(words, ["x Exists", "b Executor"]);
}

#[tokio::test]
async fn tasks_of_an_executor_that_is_refused_are_not_launched() {
    let server = Server::new(&[Answer::Refuses, Answer::Stores]);
    let tasks = vec![inside("a", "x"), executor("x"), task("b")];
    let words = launch(&server, tasks, &CancellationToken::new()).await;
    assert_eq!(words, ["a Executor", "x refused: containers: Required value", "b stored"]);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_never_takes_a_record_is_believed_after_some_tries() {
    let server = Server::new(&[Answer::Fails]);
    let words = launch(&server, vec![task("a")], &CancellationToken::new()).await;
    assert_eq!(words, ["a refused: the store does not take it"]);
    // What was stored in the last try is found.
    let mut answers = vec![Answer::Fails; usize::try_from(MAX_TRIES).unwrap() - 1];
    answers.push(Answer::StoresUnheard);
    let server = Server::new(&answers);
    let words = launch(&server, vec![task("a")], &CancellationToken::new()).await;
    assert_eq!(words, ["a stored"]);
}

#[tokio::test]
async fn the_end_of_the_term_leaves_open_what_is_not_known() {
    let server = Server::new(&[Answer::Fails]);
    let stop = CancellationToken::new();
    let tasks = vec![task("a")];
    let (words, ()) = tokio::join!(launch(&server, tasks, &stop), async {
        tokio::task::yield_now().await;
        stop.cancel();
    });
    assert_eq!(words, ["a unknown"]);
    let words = launch(&server, vec![task("b")], &stop).await;
    assert_eq!(words, ["b unknown"], "nothing is begun any more");
    assert!(server.created.lock().unwrap().is_empty());
}
