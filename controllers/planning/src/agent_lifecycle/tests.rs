//! What becomes of silent and removed agents.

use std::fmt::Write as _;
use std::time::Duration;

use expect_test::{Expect, expect};
use meseta_crds::TaskState;

use super::{Action, Agent, Observed, Policy, Task, plan};

/// Agents as `name:silent seconds`, with `?` when they are marked; tasks as `name@agent:state`, with
/// `+` when their container ran and `*` when they carry the finalizer; names of removed agents.
#[expect(clippy::needless_pass_by_value, reason = "an `Expect` is written in place")]
fn check(agents: &str, tasks: &str, removed: &str, expected: Expect) {
    let agents = agents.split_whitespace().map(|word| {
        let (name, silent) = word.split_once(':').unwrap();
        let marked = silent.ends_with('?');
        let ready = if marked { ("Unknown", "AgentUnreachable") } else { ("True", "AgentReady") };
        Agent {
            name: name.to_owned(),
            silent_for: Duration::from_secs(silent.trim_end_matches('?').parse().unwrap()),
            ready: Some((ready.0.to_owned(), ready.1.to_owned())),
        }
    });
    let tasks = tasks.split_whitespace().map(|word| {
        let (name, rest) = word.split_once('@').unwrap();
        let (agent, state) = rest.split_once(':').unwrap();
        let state_name = state.trim_end_matches(['+', '*']);
        Task {
            namespace: "ns".to_owned(),
            name: name.to_owned(),
            agent: agent.to_owned(),
            state: serde_json::from_value::<TaskState>(state_name.into()).unwrap(),
            ran: state.contains('+'),
            held: state.contains('*'),
        }
    });
    let removed = removed.split_whitespace().map(str::to_owned).collect();
    let observed = Observed { agents: agents.collect(), tasks: tasks.collect(), removed };
    let plan = plan(&observed, Policy::default());
    let mut text = String::new();
    for action in &plan.actions {
        match action {
            Action::SetReady { agent, value, reason, .. } => {
                writeln!(text, "agent {agent} Ready={} {reason}", value.as_str()).unwrap();
            }
            Action::SetState { name, state, reason, .. } => {
                writeln!(text, "task {name} {state:?} {}", reason.unwrap_or("-")).unwrap();
            }
            Action::Release { name, .. } => writeln!(text, "release {name}").unwrap(),
        }
    }
    if let Some(held_back) = plan.held_back {
        writeln!(text, "held back: {held_back}").unwrap();
    }
    expected.assert_eq(&text);
}

#[test]
fn a_silent_agent_is_marked_and_then_its_tasks() {
    check(
        "a:76 b:75",
        "t@a:Running+*",
        "",
        expect![[r#"
        agent a Ready=Unknown AgentUnreachable
    "#]],
    );
    check(
        "a:77? b:1",
        "t@a:Running+* done@a:Finished* u@b:Running+*",
        "",
        expect![[r#"
        task t Unreachable AgentUnreachable
    "#]],
    );
    check("a:78? b:1", "t@a:Unreachable+*", "", expect![""]);
}

#[test]
fn an_agent_that_comes_back_gets_its_tasks_back() {
    check(
        "a:1?",
        "t@a:Unreachable+* s@a:Unreachable*",
        "",
        expect![[r#"
        agent a Ready=True AgentReady
        task t Running -
        task s Staging -
    "#]],
    );
}

#[test]
fn tasks_of_a_removed_agent_are_lost_and_then_released() {
    check(
        "b:1",
        "t@a:Running+* u@a:Unreachable*",
        "a",
        expect![[r#"
        task t Lost AgentRemoved
        task u Lost AgentRemoved
    "#]],
    );
    check(
        "b:1",
        "t@a:Lost* u@a:Finished",
        "a",
        expect![[r#"
        release t
    "#]],
    );
}

#[test]
fn an_agent_that_is_merely_not_seen_is_not_removed() {
    check("b:1", "t@a:Running+*", "", expect![""]);
}

#[test]
fn silence_of_many_is_not_believed() {
    check(
        "a:99 b:99 c:99 d:99 e:1",
        "t@a:Running+*",
        "",
        expect![[r#"
        held back: 4 of 5 agents are silent at once: no more are marked as unreachable
    "#]],
    );
}
