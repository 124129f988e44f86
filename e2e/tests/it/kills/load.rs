//! Tasks of every kind, one after the other, and the judgement of what became of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use meseta_e2e::{Client, Cluster, Image, Observer, Seen, Witness, await_condition};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::yaml;

/// Distance between two new tasks.
const PACE: Duration = Duration::from_millis(350);
/// How long a control plane may be away.
const AWAY_DEADLINE: Duration = Duration::from_secs(60);
/// How long after the last kill everything may take to come to its end.
const END_DEADLINE: Duration = Duration::from_secs(120);

/// What a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Ends at once.
    Short,
    /// Runs for some seconds.
    Long,
    /// Ends with an exit code of its own.
    Failing,
    /// Prints all the time.
    Chatty,
    /// Runs in an image that no other task has, so that its layer has to be unpacked.
    Imaged,
    /// Runs until it is deleted, and ends when it is told.
    Deleted,
}

impl Kind {
    const ALL: [Self; 6] =
        [Self::Short, Self::Long, Self::Failing, Self::Chatty, Self::Imaged, Self::Deleted];

    fn script(self) -> &'static str {
        match self {
            Self::Short | Self::Imaged => "echo end",
            Self::Long => "sleep 2.5; echo end",
            Self::Failing => "sleep 0.4; echo end; exit 7",
            Self::Chatty => "for i in $(seq 60); do seq 500; sleep 0.02; done; echo end",
            Self::Deleted => "trap 'exit 0' TERM; while :; do sleep 0.1; done",
        }
    }

    fn output(self) -> String {
        match self {
            Self::Short | Self::Long | Self::Failing | Self::Imaged => "begin\nend\n".to_owned(),
            Self::Chatty => {
                let lines: String = (1..=500).map(|number| format!("{number}\n")).collect();
                format!("begin\n{}end\n", lines.repeat(60))
            }
            Self::Deleted => "begin\n".to_owned(),
        }
    }

    fn exit_code(self) -> i64 {
        if self == Self::Failing { 7 } else { 0 }
    }
}

/// A task that was acknowledged.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// Creates tasks until it is finished.
pub(super) struct Load {
    pub(super) observer: Observer,
    clients: Vec<Client>,
    witness: Arc<Witness>,
    stop: Arc<AtomicBool>,
    feeder: JoinHandle<(Vec<Planned>, TempDir)>,
}

/// Everything that became of the tasks.
pub(super) struct Finished {
    pub(super) planned: Vec<Planned>,
    /// By name; the deleted ones are gone.
    pub(super) records: BTreeMap<String, Value>,
    history: Vec<Seen>,
    witness: Arc<Witness>,
    client: Client,
}

impl Load {
    /// Begins; a client that gets no answer is followed by the next.
    pub(super) fn start(clients: Vec<Client>) -> Self {
        let witness = Arc::new(Witness::new().unwrap());
        let observer = Observer::start(&clients).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let feeder = {
            let (witness, stop, clients) = (witness.clone(), stop.clone(), clients.clone());
            thread::spawn(move || feed(&clients, &witness, &stop))
        };
        Self { observer, clients, witness, stop, feeder }
    }

    /// Creates nothing more and waits until every task is over.
    pub(super) fn finish(self) -> Finished {
        self.stop.store(true, Ordering::Relaxed);
        let (planned, _images) = self.feeder.join().expect("the feeder was refused");
        let client = self.clients[0].clone();
        let records = await_condition("end of all tasks", END_DEADLINE, || {
            let list = client.list(&["tasks"]).map_err(|error| format!("{error:#}"))?;
            let named = |task: Value| (task["metadata"]["name"].as_str().unwrap().to_owned(), task);
            let records: BTreeMap<String, Value> = list.into_iter().map(named).collect();
            let open = records.iter().filter(|(name, task)| {
                let state = task["status"]["state"].as_str().unwrap_or_default();
                !["Finished", "Failed"].contains(&state) || name.contains("deleted")
            });
            let open: Vec<String> =
                open.map(|(name, task)| format!("{name}: {}", task["status"])).collect();
            if open.is_empty() { Ok(records) } else { Err(open.join("\n")) }
        })
        .unwrap();
        let history = self.observer.history();
        Finished { planned, records, history, witness: self.witness, client }
    }
}

/// Gives what it created, and the images that those tasks may still have to read.
fn feed(clients: &[Client], witness: &Witness, stop: &AtomicBool) -> (Vec<Planned>, TempDir) {
    let images = tempfile::tempdir().unwrap();
    let mut planned = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let number = planned.len();
        let kind = Kind::ALL[number % Kind::ALL.len()];
        let name = format!("{kind:?}-{number}").to_lowercase();
        let start = Witness::say(&format!("start {name}"));
        let mut task = yaml::task(&name, &format!("{start}; echo begin; {}", kind.script()));
        witness.add_to(&mut task["spec"]);
        if kind == Kind::Imaged {
            let image = Image::with_shell().unwrap();
            let image = image.file("name", name.as_bytes(), 0o644).unwrap();
            let image = image.write(&images.path().join(&name)).unwrap();
            task["spec"]["containers"][0]["image"] = json!(image);
        }
        let text = task.to_string();
        insist(clients, &["create", "-f", "-"], Some(&text), "AlreadyExists");
        planned.push(Planned { name, kind });
        // Some time after they were made, so that each is in another step.
        for (index, victim) in planned.iter().enumerate() {
            let due = index + (index / Kind::ALL.len()) % 4;
            if victim.kind == Kind::Deleted && due == number {
                delete(clients, victim);
            }
        }
        thread::sleep(PACE);
    }
    for victim in planned.iter().filter(|planned| planned.kind == Kind::Deleted) {
        delete(clients, victim);
    }
    (planned, images)
}

fn delete(clients: &[Client], victim: &Planned) {
    insist(clients, &["delete", "task", &victim.name, "--wait=false"], None, "NotFound");
}

/// Tries until somebody does it; `done` in a refusal says that an earlier try went through unheard.
fn insist(clients: &[Client], args: &[&str], input: Option<&str>, done: &str) {
    let mut next = 0;
    await_condition("control plane that answers", AWAY_DEADLINE, || {
        let client = &clients[next % clients.len()];
        next += 1;
        let args = [args, &["--request-timeout=5s"]].concat();
        match client.try_kubectl(&args, input).and_then(|output| output.success()) {
            Ok(_) => Ok(()),
            Err(error) if error.to_string().contains(done) => Ok(()),
            Err(error) => Err(format!("{error:#}")),
        }
    })
    .unwrap();
}

impl Finished {
    /// Not lost, started once, and with the exit code and the output of its kind.
    pub(super) fn expect_as_planned(&self, planned: &Planned) {
        self.expect_one_start_at_most(planned);
        let Planned { name, kind } = planned;
        let Some(record) = self.records.get(name) else {
            assert_eq!(*kind, Kind::Deleted, "{name} was lost");
            return;
        };
        let status = &record["status"];
        assert_eq!(self.starts(name), 1, "starts of {name}: {status:#}");
        assert_eq!(status["containers"][0]["exitCode"], kind.exit_code(), "{name}: {status:#}");
        assert_eq!(status["containers"][0]["restartCount"], 0, "{name}: {status:#}");
        let output = self.client.meseta(&["logs", name]).unwrap();
        let wanted = kind.output();
        assert!(output == wanted, "{name} printed {} bytes of {}", output.len(), wanted.len());
    }

    /// Started once, or, killed before it could be, never.
    pub(super) fn expect_one_start_at_most(&self, planned: &Planned) {
        let starts = self.starts(&planned.name);
        assert!(starts <= 1, "{} was started {starts} times", planned.name);
    }

    fn starts(&self, name: &str) -> usize {
        self.witness.heard(&format!("start {name}"))
    }

    /// When a task was first seen in a state.
    pub(super) fn first_seen(&self, uid: &str, state: &str) -> Instant {
        let mut events = self.history.iter().filter(|seen| seen.task["metadata"]["uid"] == uid);
        let found = events.find(|seen| seen.task["status"]["state"] == state);
        found.unwrap_or_else(|| panic!("nobody saw {uid} {state}")).at
    }

    /// Deletes everything, and looks for what is left.
    pub(super) fn expect_nothing_left(&self, cluster: &Cluster) {
        self.client.kubectl(&["delete", "tasks", "--all", "--timeout=60s"]).unwrap();
        cluster.agents()[0].await_nothing_left().unwrap();
    }
}
