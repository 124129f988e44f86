//! A scheduler written for Mesos: the unmodified pymesos in a process of its own.
//!
//! ```text
//!   test ── {"do": "killTask", …} ──► tests/scheduler.py ──► pymesos ──HTTP──► Meseta
//!        ◄─ {"event": "update", …} ──                     ◄──
//! ```
//!
//! Everything it is told is kept in order, so that a test can say what was told how often.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::process::run;
use crate::programs::repository;
use crate::wait::await_condition;

/// pymesos is fetched and its dependency built where the cache does not hold it yet.
const FETCH_DEADLINE: Duration = Duration::from_secs(300);
/// Bound of each wait: pymesos sleeps for some seconds between two tries to connect.
const WAIT_DEADLINE: Duration = Duration::from_secs(60);

/// Pause between two looks for the return of a call, which takes some milliseconds.
const CALL_PAUSE: Duration = Duration::from_millis(2);

/// Folder to be put into PYTHONPATH for pymesos.
///
/// # Errors
/// It cannot be installed.
pub fn pymesos() -> Result<PathBuf> {
    let mut script = Command::new(repository().join("scripts/pymesos"));
    let path = run(&mut script, None, FETCH_DEADLINE)?.success().context("cannot get pymesos")?;
    Ok(PathBuf::from(path.trim()))
}

/// One callback of pymesos.
#[derive(Clone, Debug)]
pub struct Event {
    /// When it came.
    pub at: Instant,
    /// `{"event": <name>, …}`, as `tests/scheduler.py` describes.
    pub body: Value,
}

impl Event {
    /// Name of the callback.
    #[must_use]
    pub fn name(&self) -> &str {
        self.body["event"].as_str().unwrap_or_default()
    }

    /// Task and state, if it is a status update.
    #[must_use]
    pub fn update(&self) -> Option<(&str, &str)> {
        let status = &self.body["status"];
        Some((status["task_id"]["value"].as_str()?, status["state"].as_str()?))
    }
}

/// How a scheduler subscribes.
#[derive(Clone, Debug)]
pub struct Options(Value);

impl Options {
    /// Under this name, for role `*`, with a failover timeout that outlasts any test.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let framework = json!({
            "user": "root", "name": name, "hostname": "", "failover_timeout": 3600.0,
        });
        Self(json!({"framework": framework}))
    }

    /// A member of its FrameworkInfo.
    #[must_use]
    pub fn framework(mut self, member: &str, value: Value) -> Self {
        self.0["framework"][member] = value;
        self
    }

    /// Who it says it is.
    #[must_use]
    pub fn principal(mut self, principal: &str, secret: &str) -> Self {
        self.0["principal"] = principal.into();
        self.0["secret"] = secret.into();
        self
    }

    /// Updates are acknowledged by the test alone.
    #[must_use]
    pub fn explicit(mut self) -> Self {
        self.0["explicit"] = true.into();
        self
    }

    /// It launches `task` as often as it fits on what it is offered, `limit` times in all, with ids
    /// that begin with `prefix`; what is left of an offer is refused for so many seconds.
    #[must_use]
    pub fn accept(mut self, prefix: &str, limit: u32, task: &Value, refuse_seconds: f64) -> Self {
        self.0["accept"] = json!({
            "prefix": prefix, "limit": limit, "task": task, "refuse_seconds": refuse_seconds,
        });
        self
    }
}

type Events = Arc<Mutex<Vec<Event>>>;

/// A subscribed scheduler; dropping it kills the process, as a crash would.
#[derive(Debug)]
pub struct Scheduler {
    child: Child,
    /// Closed to end it gracefully.
    commands: Option<ChildStdin>,
    events: Events,
    reader: Option<JoinHandle<()>>,
    /// The id it was given.
    pub framework_id: String,
}

impl Scheduler {
    /// Starts it and waits until it is subscribed at `master` (`host:port`).
    ///
    /// # Errors
    /// It is not in time.
    pub fn start(master: &str, options: &Options) -> Result<Self> {
        let mut scheduler = Self::spawn(master, options)?;
        let event = scheduler.await_event("subscription", |event| {
            ["registered", "reregistered"].contains(&event.name())
        })?;
        scheduler.framework_id = match event.body["framework_id"].as_str() {
            Some(id) => id.to_owned(),
            None => options.0["framework"]["id"]["value"].as_str().unwrap_or_default().to_owned(),
        };
        Ok(scheduler)
    }

    /// Starts it, and does not wait.
    ///
    /// # Errors
    /// There is no Python, or no pymesos.
    pub fn spawn(master: &str, options: &Options) -> Result<Self> {
        let mut options = options.0.clone();
        options["master"] = master.into();
        let mut child = Command::new("python3")
            .arg(repository().join("e2e/tests/scheduler.py"))
            .arg(options.to_string())
            .env("PYTHONPATH", pymesos()?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start python3")?;
        let commands = child.stdin.take();
        let output = child.stdout.take().context("no standard output")?;
        let events = Events::default();
        let heard = events.clone();
        let reader = thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                let Some(body) = line.ok().and_then(|line| serde_json::from_str(&line).ok()) else {
                    return;
                };
                let event = Event { at: Instant::now(), body };
                heard.lock().unwrap_or_else(PoisonError::into_inner).push(event);
            }
        });
        let framework_id = String::new();
        Ok(Self { child, commands, events, reader: Some(reader), framework_id })
    }

    /// Everything so far, in order.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All states that were told of a task, in order, repetitions included.
    #[must_use]
    pub fn states(&self, task: &str) -> Vec<String> {
        let events = self.events();
        let updates = events.iter().filter_map(Event::update);
        updates.filter(|(of, _)| *of == task).map(|(_, state)| state.to_owned()).collect()
    }

    /// Waits for an event that is as `wanted`, also among those that have come.
    ///
    /// # Errors
    /// None comes in time.
    pub fn await_event(&self, what: &str, wanted: impl Fn(&Event) -> bool) -> Result<Event> {
        await_condition(what, WAIT_DEADLINE, || {
            let events = self.events();
            let seen = |event: &Event| event.body.to_string();
            let last = || events.iter().rev().take(8).map(seen).collect::<Vec<_>>().join("\n");
            events.iter().find(|event| wanted(event)).cloned().ok_or_else(last)
        })
    }

    /// Waits until a task was told to be in `state`.
    ///
    /// # Errors
    /// It is not in time.
    pub fn await_state(&self, task: &str, state: &str) -> Result<Event> {
        let what = format!("update {state} of {task}");
        self.await_event(&what, |event| event.update() == Some((task, state)))
    }

    /// Waits for an offer that came after the first `after` events, and gives it whole.
    ///
    /// # Errors
    /// None comes in time.
    pub fn await_offer(&self, after: usize) -> Result<Value> {
        await_condition("offer", WAIT_DEADLINE, || {
            let events = self.events();
            let offers = events.iter().skip(after).filter(|event| event.name() == "offers");
            let mut offers = offers.flat_map(|event| event.body["offers"].as_array().cloned());
            offers
                .next()
                .and_then(|offers| offers.first().cloned())
                .ok_or_else(|| "no offer".to_owned())
        })
    }

    /// Calls a method of pymesos' driver, and waits until it has returned.
    ///
    /// # Errors
    /// It raised an error; the message has it.
    pub fn call(&mut self, method: &str, args: &Value) -> Result<()> {
        let before = self.events().len();
        let commands = self.commands.as_mut().context("the scheduler was ended")?;
        writeln!(commands, "{}", json!({"do": method, "args": args}))
            .with_context(|| format!("the scheduler has ended before {method}"))?;
        let begin = Instant::now();
        let answer = loop {
            let events = self.events();
            let answer = events.iter().skip(before).find(|event| {
                event.body["command"] == method && ["done", "failed"].contains(&event.name())
            });
            if let Some(answer) = answer {
                break answer.clone();
            }
            ensure!(begin.elapsed() < WAIT_DEADLINE, "{method} does not return");
            thread::sleep(CALL_PAUSE);
        };
        ensure!(answer.name() == "done", "{method} failed: {}", answer.body["error"]);
        Ok(())
    }

    /// Launches tasks on an offer.
    ///
    /// # Errors
    /// The call fails.
    pub fn launch(&mut self, offer: &Value, tasks: &[Value]) -> Result<()> {
        self.call("launchTasks", &json!([offer["id"], tasks, {"refuse_seconds": 0.0}]))
    }

    /// Ends the scheduler, and with it the framework.
    ///
    /// # Errors
    /// pymesos complains; the message says of what.
    pub fn stop(mut self) -> Result<()> {
        self.call("stop", &json!([]))?;
        self.call("join", &json!([]))?;
        let events = self.events();
        let complaint = events.iter().find(|event| {
            event.name() == "log" && event.body["text"].to_string().contains("Teardown")
        });
        ensure!(complaint.is_none(), "{:#}", complaint.map_or(&Value::Null, |event| &event.body));
        Ok(())
    }

    /// Ends it gracefully and leaves the framework as it is, for another to take over.
    ///
    /// # Errors
    /// It does not end in time.
    pub fn leave(mut self) -> Result<()> {
        self.commands = None;
        await_condition("end of the scheduler", WAIT_DEADLINE, || match self.child.try_wait() {
            Ok(Some(_)) => Ok(()),
            other => Err(format!("{other:?}")),
        })
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        // Fails only where it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
        if let Some(reader) = self.reader.take() {
            drop(reader.join());
        }
    }
}

/// A task with a command, of a tenth of a core and 32 MB, for the agent of an offer.
#[must_use]
pub fn command_task(offer: &Value, id: &str, command: &str) -> Value {
    json!({
        "task_id": {"value": id}, "name": id, "agent_id": offer["agent_id"],
        "command": {"value": command},
        "resources": [scalar("cpus", 0.1), scalar("mem", 32.0)],
    })
}

/// A scalar resource.
#[must_use]
pub fn scalar(name: &str, value: f64) -> Value {
    json!({"name": name, "type": "SCALAR", "scalar": {"value": value}})
}

/// Where the executor of the tests lies.
#[must_use]
pub fn executor_program() -> PathBuf {
    Path::new(repository()).join("e2e/tests/executor.py")
}
