//! SIGKILL of agent, control plane or shim at any moment loses no task, no output and no exit code,
//! starts nothing twice, and leaves nothing behind.
//!
//! While a [`Load`] of tasks runs, one process is killed again and again at random moments and
//! started again at once. Then every task is judged by what it said itself: each start is heard by a
//! witness that Meseta knows nothing of. Which steps the tasks were in at the kills is printed, since
//! a kill test that never hits a window proves nothing.

mod hunt;
mod load;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use meseta_e2e::{Layout, Observer, Seen, StoreKind, await_condition};
use rustix::process::{Pid, Signal, kill_process};

use hunt::Hunter;
use load::Load;

on_both_stores!(
    an_agent_killed_at_any_moment_loses_nothing,
    a_control_plane_killed_at_any_moment_loses_nothing,
    a_killed_shim_is_reported_within_seconds,
);

/// Kills in each test.
const KILLS: usize = 22;
/// How long after a kill of its shim a task may take to be reported as ended.
const REPORT_DEADLINE: Duration = Duration::from_secs(10);
/// About what a short step of a task takes.
const STEP: Duration = Duration::from_millis(120);
/// Shims are killed at any age up to this: the longest task runs a little longer.
const OLDEST_VICTIM: Duration = Duration::from_millis(2300);

/// When to kill, and in which steps the tasks were then.
struct Kills {
    title: String,
    random: u64,
    count: usize,
    /// Per step: kills at which some task was in it, and tasks in it over all kills.
    steps: BTreeMap<&'static str, (usize, usize)>,
}

impl Kills {
    fn new(what: &str, store: StoreKind) -> Self {
        let seed = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let title = format!("{what}, {store:?} store, seed {seed}");
        Self { title, random: seed, count: 0, steps: BTreeMap::new() }
    }

    /// The next random number below `bound` (SplitMix64).
    fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    /// Waits for a random time: this is the distance between two kills, not a synchronisation.
    fn pause(&mut self, at_most: Duration) {
        thread::sleep(self.random_time(at_most));
    }

    fn random_time(&mut self, at_most: Duration) -> Duration {
        Duration::from_millis(self.below(u64::try_from(at_most.as_millis()).unwrap()))
    }

    /// Waits for the moment of the next kill: each other one follows closely upon a change of some
    /// task, where steps are short.
    fn aim(&mut self, at_most: Duration, observer: &Observer) {
        self.pause(at_most);
        if self.count % 2 == 1 {
            let before = observer.history().len();
            // Where nothing changes, because a control plane is away, any moment is as good.
            let _ =
                await_condition("change of a task", at_most, || match observer.history().len() {
                    now if now > before => Ok(()),
                    now => Err(now.to_string()),
                });
            self.pause(STEP);
        }
    }

    fn note<'a>(&mut self, tasks: impl IntoIterator<Item = &'a Seen>) {
        self.count += 1;
        let mut counts = BTreeMap::new();
        for seen in tasks.into_iter().filter(|seen| !["ended", "deleted"].contains(&seen.step())) {
            *counts.entry(seen.step()).or_insert(0) += 1;
        }
        for (step, count) in counts {
            let (kills, tasks) = self.steps.entry(step).or_default();
            *kills += 1;
            *tasks += count;
        }
    }

    /// Straight to stderr, so that it is seen also where the test passes. Fails where no kill fell
    /// into the middle of anything.
    fn print(&self) {
        let mut text = format!("{} kills of the {}:\n", self.count, self.title);
        for (step, (kills, tasks)) in &self.steps {
            writeln!(text, "  {kills:3} with {tasks:4} tasks {step}").unwrap();
        }
        std::io::stderr().write_all(text.as_bytes()).unwrap();
        assert!(self.steps.contains_key("running"), "no kill fell into a running task");
    }
}

fn an_agent_killed_at_any_moment_loses_nothing(store: StoreKind) {
    let mut cluster = Layout::new(store).agent(&[]).start().unwrap();
    let load = Load::start(vec![cluster.client()]);
    let mut kills = Kills::new("agent", store);
    for _ in 0..KILLS {
        kills.aim(Duration::from_millis(1600), &load.observer);
        kills.note(load.observer.latest().values());
        cluster.agent(0).kill();
        cluster.agent(0).spawn().unwrap();
    }
    let finished = load.finish();
    kills.print();
    for planned in &finished.planned {
        finished.expect_as_planned(planned);
    }
    finished.expect_nothing_left(&cluster);
}

fn a_control_plane_killed_at_any_moment_loses_nothing(store: StoreKind) {
    // With the embedded store a new process leads at once; with etcd another one takes over when the
    // lease has ended, and kills must leave it time to work.
    let (count, longest) = match store {
        StoreKind::Embedded => (1, Duration::from_millis(2500)),
        StoreKind::Etcd => (2, Duration::from_millis(5000)),
    };
    let mut cluster = Layout::new(store).control_planes(count).agent(&[]).start().unwrap();
    let clients = (0..count).map(|number| cluster.client_of(number)).collect();
    let load = Load::start(clients);
    let mut kills = Kills::new("control plane", store);
    for number in 0..KILLS {
        kills.aim(longest, &load.observer);
        kills.note(load.observer.latest().values());
        cluster.control_plane(number % count).kill();
        cluster.control_plane(number % count).spawn().unwrap();
    }
    for number in 0..count {
        cluster.control_plane(number).await_ready().unwrap();
    }
    let finished = load.finish();
    kills.print();
    for planned in &finished.planned {
        finished.expect_as_planned(planned);
    }
    finished.expect_nothing_left(&cluster);
}

fn a_killed_shim_is_reported_within_seconds(store: StoreKind) {
    let cluster = Layout::new(store).agent(&[]).start().unwrap();
    let load = Load::start(vec![cluster.client()]);
    let mut kills = Kills::new("shim", store);
    let mut killed: BTreeMap<String, Instant> = BTreeMap::new();
    let mut hunter = Hunter::new(&cluster.agents()[0]);
    for number in 0..KILLS {
        // Each other one is young, and its container on its way.
        let victim = if number % 2 == 1 {
            hunter.newborn(kills.random_time(STEP))
        } else {
            hunter.grown(kills.random_time(OLDEST_VICTIM))
        };
        let latest = load.observer.latest();
        kills.note(latest.values().filter(|seen| seen.task["metadata"]["uid"] == victim.task));
        // It may have ended meanwhile; then nothing happens to its task.
        let pid = Pid::from_raw(i32::try_from(victim.pid).unwrap()).unwrap();
        let _ = kill_process(pid, Signal::KILL);
        killed.insert(victim.task, Instant::now());
    }
    let finished = load.finish();
    kills.print();
    let mut lost = BTreeSet::new();
    for planned in &finished.planned {
        let Some(record) = finished.records.get(&planned.name) else {
            finished.expect_as_planned(planned);
            continue;
        };
        if record["status"]["reason"] != "ShimLost" {
            finished.expect_as_planned(planned);
            continue;
        }
        let uid = record["metadata"]["uid"].as_str().unwrap();
        let when = killed.get(uid).unwrap_or_else(|| panic!("nobody killed the shim of {uid}"));
        let reported = finished.first_seen(uid, "Failed");
        let took = reported.saturating_duration_since(*when);
        assert!(took <= REPORT_DEADLINE, "{} was reported after {took:?}", planned.name);
        assert!(record["status"]["containers"][0]["exitCode"].is_null(), "{record:#}");
        finished.expect_one_start_at_most(planned);
        lost.insert(uid.to_owned());
    }
    assert!(lost.len() >= KILLS / 2, "only {} kills of {KILLS} ended a container", lost.len());
    finished.expect_nothing_left(&cluster);
}
