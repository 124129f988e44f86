//! Records and what is here, in; decisions, out.

use super::*;

fn row() -> Row {
    Row { epoch: Some(3), resources: amounts(1000), held: true, ..Row::default() }
}

fn amounts(cpu: i64) -> Amounts {
    Amounts::from([("cpu".to_owned(), cpu)])
}

fn observed(rows: &[(&str, Row)], local: &[(&str, Local)]) -> Observed {
    Observed {
        rows: rows.iter().map(|(uid, row)| ((*uid).to_owned(), row.clone())).collect(),
        local: local.iter().map(|(uid, local)| ((*uid).to_owned(), *local)).collect(),
        capacity: amounts(2000),
        complete: true,
        absence_is_believed: true,
        ..Observed::default()
    }
}

/// The decisions, a word and a uid each.
fn decisions(observed: &Observed) -> Vec<String> {
    let actions = plan(observed).actions.into_iter();
    actions
        .map(|action| match action {
            Action::Accept { uid } => format!("accept {uid}"),
            Action::Adopt { uid } => format!("adopt {uid}"),
            Action::Refuse { uid, reason, .. } => format!("{reason} {uid}"),
            Action::Forget { uid } => format!("forget {uid}"),
        })
        .collect()
}

#[test]
fn what_is_new_is_accepted_as_far_as_there_is_room() {
    let mut look = observed(&[("a", row()), ("b", row()), ("c", row())], &[]);
    assert_eq!(decisions(&look), ["accept a", "accept b", "AgentOutOfRoom c"]);
    look.used = amounts(1500);
    let Some(Action::Refuse { message, state, .. }) = plan(&look).actions.pop() else { panic!() };
    assert_eq!(state, TaskState::Dropped);
    assert_eq!(message, "needs 1 of cpu; 500m of 2 are free on the agent");
    let unknown = Row { resources: Amounts::from([("gpu".to_owned(), 1000)]), ..row() };
    assert_eq!(decisions(&observed(&[("g", unknown)], &[])), ["AgentOutOfRoom g"]);
}

#[test]
fn a_task_for_an_executor_needs_one_that_lives() {
    let inner_of = |uid: Option<&str>, here: Option<Local>| {
        let executor = ExecutorRow { name: "e".to_owned(), uid: uid.map(str::to_owned), here };
        Row { executor: Some(executor), resources: Amounts::new(), ..row() }
    };
    let inner = |uid: Option<&str>| inner_of(uid, None);
    // The executor comes first, whatever its uid, and they fit beside each other.
    let look = observed(&[("a", inner(Some("x"))), ("x", row())], &[]);
    assert_eq!(decisions(&look), ["accept x", "accept a"]);
    assert_eq!(decisions(&observed(&[("a", inner(None))], &[])), ["ExecutorTerminated a"]);
    let refused = Row { faults: vec!["a fault".to_owned()], ..row() };
    let look = observed(&[("a", inner(Some("x"))), ("x", refused)], &[]);
    assert_eq!(decisions(&look), ["InvalidSpec x", "ExecutorTerminated a"]);
    // What is known of the executor is decided about no more, and its row is not there.
    let with = |here| observed(&[("a", inner_of(Some("x"), Some(here)))], &[]);
    assert_eq!(decisions(&with(Local::Owned { ended: false })), ["accept a"]);
    assert_eq!(decisions(&with(Local::Owned { ended: true })), ["ExecutorTerminated a"]);
}

#[test]
fn what_was_killed_before_it_was_started_is_reported_and_not_run() {
    let killed = Row { killed: true, faults: vec!["a fault".to_owned()], ..row() };
    let look = observed(&[("k", killed.clone())], &[]);
    let [Action::Refuse { state, reason, .. }] = &plan(&look).actions[..] else { panic!() };
    assert_eq!((*state, *reason), (TaskState::Killed, "KilledByScheduler"));
    let owned = observed(&[("k", killed)], &[("k", Local::Owned { ended: false })]);
    assert!(decisions(&owned).is_empty());
}

#[test]
fn an_old_leader_is_refused_and_one_that_was_in_time_is_not() {
    let at = |epoch: i64| Row { epoch: Some(epoch), ..row() };
    // Seen in one look: the lower epoch was stored while its leader led.
    let mut look = observed(&[("a-new", at(5)), ("old", at(4))], &[]);
    assert_eq!(decisions(&look), ["accept old", "accept a-new"]);
    assert_eq!(plan(&look).seen_epoch, 5);
    look.seen_epoch = 5;
    assert_eq!(decisions(&look), ["StaleLeader old", "accept a-new"]);
    let by_hand = Row { epoch: None, ..row() };
    let look = Observed { seen_epoch: 9, ..observed(&[("hand", by_hand)], &[]) };
    assert_eq!(decisions(&look), ["accept hand"]);
}

#[test]
fn a_refused_placement_takes_no_room_and_raises_no_epoch() {
    let invalid = Row { faults: vec!["spec: bad".to_owned()], epoch: Some(7), ..row() };
    let look = observed(&[("a", invalid), ("b", row()), ("c", row())], &[]);
    assert_eq!(decisions(&look), ["accept b", "accept c", "InvalidSpec a"]);
    assert_eq!(plan(&look).seen_epoch, 3);
}

#[test]
fn what_has_run_is_not_run_again() {
    let ran = Row { has_run: true, ..row() };
    let look = observed(&[("a", ran)], &[]);
    assert_eq!(decisions(&look), ["ShimLost a"]);
    let Some(Action::Refuse { state, .. }) = plan(&look).actions.pop() else { panic!() };
    assert_eq!(state, TaskState::Lost);
}

#[test]
fn what_goes_is_let_go() {
    let deleting = Row { deleting: true, ..row() };
    let ended = Row { terminal: true, ..row() };
    let free = Row { held: false, terminal: true, ..row() };
    let look = observed(&[("d", deleting), ("e", ended), ("f", free)], &[]);
    assert_eq!(decisions(&look), ["Deleted d", "Deleted e"]);
}

#[test]
fn owners_are_left_alone_and_orphans_are_told_of() {
    let owned = Local::Owned { ended: false };
    let ended = Local::Owned { ended: true };
    let local = [("a", owned), ("b", owned), ("c", ended), ("d", Local::Unreadable)];
    let look = observed(&[("a", row())], &local);
    assert_eq!(decisions(&look), [""; 0]);
    assert_eq!(plan(&look).orphans, ["b", "d"]);
    let look = Observed { complete: false, ..look };
    assert_eq!(plan(&look).orphans, [""; 0], "nobody knows yet");
    let look = observed(&[("d", row())], &[("d", Local::Unreadable)]);
    assert_eq!(decisions(&look), ["adopt d"]);
}

#[test]
fn a_sandbox_goes_with_its_record_and_stays_when_records_may_be_lost() {
    let sandbox = Local::Sandbox { kept_until: 100 };
    let kept = Row { terminal: true, held: false, ..row() };
    assert_eq!(decisions(&observed(&[("a", kept)], &[("a", sandbox)])), [""; 0]);
    let mut look = observed(&[], &[("a", sandbox)]);
    assert_eq!(decisions(&look), ["forget a"]);
    look.absence_is_believed = false;
    assert_eq!(decisions(&look), [""; 0]);
    look.now = 100;
    assert_eq!(decisions(&look), ["forget a"]);
    look.complete = false;
    assert_eq!(decisions(&look), [""; 0]);
}

#[test]
fn a_record_from_a_backup_is_told_its_end_again() {
    let sandbox = Local::Sandbox { kept_until: 100 };
    assert_eq!(decisions(&observed(&[("a", row())], &[("a", sandbox)])), ["adopt a"]);
}
