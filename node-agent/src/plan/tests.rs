//! Records and what is here, in; decisions, out.

use super::*;

fn row(uid: &str) -> Row {
    Row {
        uid: uid.to_owned(),
        epoch: Some(3),
        resources: amounts(1000),
        held: true,
        ..Row::default()
    }
}

fn amounts(cpu: i64) -> Amounts {
    Amounts::from([("cpu".to_owned(), cpu)])
}

fn observed(rows: Vec<Row>, local: &[(&str, Local)]) -> Observed {
    Observed {
        rows,
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
    let rows = vec![row("a"), row("b"), row("c")];
    let mut look = observed(rows, &[]);
    assert_eq!(decisions(&look), ["accept a", "accept b", "AgentOutOfRoom c"]);
    look.used = amounts(1500);
    let Some(Action::Refuse { message, state, .. }) = plan(&look).actions.pop() else { panic!() };
    assert_eq!(state, TaskState::Dropped);
    assert_eq!(message, "needs 1 of cpu; 500m of 2 are free on the agent");
    let unknown = Row { resources: Amounts::from([("gpu".to_owned(), 1000)]), ..row("g") };
    assert_eq!(decisions(&observed(vec![unknown], &[])), ["AgentOutOfRoom g"]);
}

#[test]
fn an_old_leader_is_refused_and_one_that_was_in_time_is_not() {
    let at = |uid: &str, epoch: i64| Row { epoch: Some(epoch), ..row(uid) };
    // Seen in one look: the lower epoch was stored while its leader led.
    let mut look = observed(vec![at("new", 5), at("old", 4)], &[]);
    assert_eq!(decisions(&look), ["accept old", "accept new"]);
    assert_eq!(plan(&look).seen_epoch, 5);
    look.seen_epoch = 5;
    assert_eq!(decisions(&look), ["StaleLeader old", "accept new"]);
    let by_hand = Row { epoch: None, ..row("hand") };
    let look = Observed { seen_epoch: 9, ..observed(vec![by_hand], &[]) };
    assert_eq!(decisions(&look), ["accept hand"]);
}

#[test]
fn a_refused_placement_takes_no_room_and_raises_no_epoch() {
    let invalid = Row { faults: vec!["spec: bad".to_owned()], epoch: Some(7), ..row("a") };
    let look = observed(vec![invalid, row("b"), row("c")], &[]);
    assert_eq!(decisions(&look), ["accept b", "accept c", "InvalidSpec a"]);
    assert_eq!(plan(&look).seen_epoch, 3);
}

#[test]
fn what_has_run_is_not_run_again() {
    let ran = Row { has_run: true, ..row("a") };
    let look = observed(vec![ran], &[]);
    assert_eq!(decisions(&look), ["ShimLost a"]);
    let Some(Action::Refuse { state, .. }) = plan(&look).actions.pop() else { panic!() };
    assert_eq!(state, TaskState::Lost);
}

#[test]
fn what_goes_is_let_go() {
    let deleting = Row { deleting: true, ..row("d") };
    let ended = Row { terminal: true, ..row("e") };
    let free = Row { held: false, terminal: true, ..row("f") };
    let look = observed(vec![deleting, ended, free], &[]);
    assert_eq!(decisions(&look), ["Deleted d", "Deleted e"]);
}

#[test]
fn owners_are_left_alone_and_orphans_are_told_of() {
    let owned = Local::Owned { ended: false };
    let ended = Local::Owned { ended: true };
    let local = [("a", owned), ("b", owned), ("c", ended), ("d", Local::Unreadable)];
    let look = observed(vec![row("a")], &local);
    assert_eq!(decisions(&look), [""; 0]);
    assert_eq!(plan(&look).orphans, ["b", "d"]);
    let look = Observed { complete: false, ..look };
    assert_eq!(plan(&look).orphans, [""; 0], "nobody knows yet");
    let look = observed(vec![row("d")], &[("d", Local::Unreadable)]);
    assert_eq!(decisions(&look), ["adopt d"]);
}

#[test]
fn a_sandbox_goes_with_its_record_and_stays_when_records_may_be_lost() {
    let sandbox = Local::Sandbox { kept_until: 100 };
    let kept = Row { terminal: true, held: false, ..row("a") };
    assert_eq!(decisions(&observed(vec![kept], &[("a", sandbox)])), [""; 0]);
    let settled =
        Observed { settled: ["a".to_owned()].into(), ..observed(vec![], &[("a", sandbox)]) };
    assert_eq!(decisions(&settled), [""; 0], "there is a record, of which nothing is new");
    let mut look = observed(Vec::new(), &[("a", sandbox)]);
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
    assert_eq!(decisions(&observed(vec![row("a")], &[("a", sandbox)])), ["adopt a"]);
}

#[test]
fn the_order_of_the_records_does_not_matter() {
    let rows: Vec<Row> =
        (0..6).map(|n| Row { epoch: Some(n % 3), ..row(&format!("t{n}")) }).collect();
    let forwards = plan(&observed(rows.clone(), &[]));
    let backwards = plan(&observed(rows.into_iter().rev().collect(), &[]));
    assert_eq!(forwards, backwards);
}
