//! What is kept of finished tasks.

use std::time::Duration;

use expect_test::{Expect, expect};
use jiff::{Timestamp, ToSpan as _};

use super::{Policy, Task, plan};

/// `a/one:30` : namespace, name, seconds since the end.
#[expect(clippy::needless_pass_by_value, reason = "an `Expect` is written in place")]
fn check(tasks: &str, max_count: usize, max_age: u64, expected: Expect) {
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let tasks: Vec<Task> = tasks
        .split_whitespace()
        .map(|word| {
            let (key, age) = word.split_once(':').unwrap();
            let (namespace, name) = key.split_once('/').unwrap();
            Task {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                uid: format!("uid-{name}"),
                ended: now - age.parse::<i64>().unwrap().seconds(),
            }
        })
        .collect();
    let plan = plan(now, &tasks, Policy { max_count, max_age: Duration::from_secs(max_age) });
    let deletes: Vec<String> =
        plan.deletes.iter().map(|d| format!("{}/{} {}", d.namespace, d.name, d.uid)).collect();
    expected.assert_eq(&format!("{deletes:?} again after {:?}", plan.requeue_after));
}

#[test]
fn the_old_are_forgotten() {
    check(
        "a/one:30 a/two:100 a/three:99",
        10,
        100,
        expect![[r#"["a/two uid-two"] again after Some(1s)"#]],
    );
}

#[test]
fn each_namespace_keeps_its_newest() {
    check(
        "a/one:30 a/two:20 a/three:10 b/four:40",
        2,
        100,
        expect![[r#"["a/one uid-one"] again after Some(60s)"#]],
    );
}

#[test]
fn nothing_finished_needs_nothing() {
    check("", 2, 100, expect!["[] again after None"]);
}
