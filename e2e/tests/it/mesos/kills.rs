//! SIGKILL of leader, agent or executor at any moment loses no update, tells nothing after a terminal
//! state and starts nothing twice.
//!
//! A scheduler launches tasks in waves, acknowledges each update after a while, and kills some of
//! its tasks, while one process is killed again and again at random moments and started again. What
//! the tasks were doing at each kill is counted and printed: a kill that never hits a window proves
//! nothing.

mod driver;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use meseta_e2e::{Cluster, Layout, StoreKind};

use driver::{Driver, Work};

on_both_stores!(
    a_leader_killed_at_any_step_loses_no_update,
    an_agent_killed_at_any_step_loses_no_update,
    an_executor_killed_at_any_step_loses_no_update,
);

/// Kills in each test.
const KILLS: usize = 16;

/// Which steps the tasks were in when something was killed.
#[derive(Default)]
struct Steps(BTreeMap<&'static str, (usize, usize)>);

impl Steps {
    fn note(&mut self, steps: BTreeMap<&'static str, usize>) {
        for (step, tasks) in steps {
            let (kills, total) = self.0.entry(step).or_default();
            *kills += 1;
            *total += tasks;
        }
    }

    /// Straight to stderr, so that it is seen also where the test passes. Fails where no kill fell
    /// into the middle of anything.
    fn print(&self, what: &str, store: StoreKind) {
        let mut text = format!("{KILLS} kills of the {what} under a Mesos scheduler, {store:?}:\n");
        for (step, (kills, tasks)) in &self.0 {
            writeln!(text, "  {kills:3} with {tasks:4} tasks {step}").unwrap();
        }
        std::io::stderr().write_all(text.as_bytes()).unwrap();
        assert!(self.0.contains_key("told running"), "no kill fell into a running task");
    }
}

fn hunt(
    store: StoreKind,
    what: &str,
    work: Work,
    most: Duration,
    kill: impl Fn(&mut Cluster, &Driver),
) {
    let mut cluster = Layout::new(store).agent(&[]).start().unwrap();
    let mut driver = Driver::start(&cluster, work);
    let mut steps = Steps::default();
    for number in 0..KILLS {
        // Long and short pauses in turn, each other than the one before.
        driver.work_for(most * u32::try_from(number * 7 % 16 + 1).unwrap() / 16);
        steps.note(driver.steps());
        kill(&mut cluster, &driver);
    }
    driver.finish(&cluster);
    steps.print(what, store);
    driver.judge();
    driver.end(&cluster);
}

fn a_leader_killed_at_any_step_loses_no_update(store: StoreKind) {
    hunt(store, "leader", Work::Commands, Duration::from_secs(6), |cluster, _| {
        cluster.control_plane(0).kill();
        cluster.control_plane(0).start().unwrap();
    });
}

fn an_agent_killed_at_any_step_loses_no_update(store: StoreKind) {
    hunt(store, "agent", Work::CommandsAndExecutor, Duration::from_secs(2), |cluster, _| {
        cluster.agent(0).kill();
        cluster.agent(0).spawn().unwrap();
    });
}

fn an_executor_killed_at_any_step_loses_no_update(store: StoreKind) {
    hunt(store, "executor", Work::Executor, Duration::from_secs(3), |_, driver| {
        driver.kill_executors();
    });
}
