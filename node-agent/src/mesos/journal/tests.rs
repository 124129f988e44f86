//! Updates in, what is on the disk and what is to stand in the record out.

use super::*;
use crate::directory::Directory;

fn entry(name: &str, state: TaskState) -> Entry {
    Entry {
        update: MesosUpdate { uuid: name.to_owned(), status: serde_json::json!({"s": name}) },
        state,
        reason: None,
        message: None,
        at: 0,
    }
}

fn running(name: &str) -> Entry {
    entry(name, TaskState::Running)
}

/// A task's directory, and what keeps it.
fn task() -> (tempfile::TempDir, Directory, TaskDirectory) {
    let root = tempfile::tempdir().unwrap();
    let directory = Directory::open(root.path()).unwrap();
    let task = directory.task("uid-1");
    make_private(task.path()).unwrap();
    (root, directory, task)
}

fn status(updates: &[&str], acknowledged: Option<&str>) -> MesosStatus {
    let updates = updates.iter().map(|name| running(name).update).collect();
    MesosStatus { updates, acknowledged: acknowledged.map(str::to_owned) }
}

fn room() -> Room {
    Room::beside(&meseta_crds::TaskSpec::default())
}

fn names_of(window: &Window<'_>) -> Vec<String> {
    window.updates.iter().map(|update| update.uuid.clone()).collect()
}

#[test]
fn what_was_kept_is_there_after_a_death_and_once() {
    let (_root, _directory, task) = task();
    let mut journal = Journal::open(&task, room()).unwrap();
    assert_eq!(journal.progress(), Progress::New);
    journal.hand_over().unwrap();
    assert_eq!(Journal::open(&task, room()).unwrap().progress(), Progress::HandedOver);
    assert_eq!(journal.append(running("a")).unwrap(), Stored::New);
    assert_eq!(journal.append(running("a")).unwrap(), Stored::Known);
    let mut journal = Journal::open(&task, room()).unwrap();
    assert_eq!(journal.progress(), Progress::Answered);
    assert_eq!(journal.append(running("a")).unwrap(), Stored::Known);
    assert_eq!(journal.append(entry("b", TaskState::Finished)).unwrap(), Stored::New);
    assert_eq!(journal.append(running("c")).unwrap(), Stored::AfterEnd);
    assert_eq!(journal.append(entry("b", TaskState::Finished)).unwrap(), Stored::Known);
    let journal = Journal::open(&task, room()).unwrap();
    assert_eq!(journal.end().map(|end| end.state), Some(TaskState::Finished));
    assert_eq!(names_of(&journal.window(None)), ["a", "b"]);
}

#[test]
fn a_file_that_was_cut_short_counts_for_nothing() {
    let (_root, _directory, task) = task();
    let mut journal = Journal::open(&task, room()).unwrap();
    journal.append(running("a")).unwrap();
    let torn = task.path().join("updates/00000002.json");
    fs::write(&torn, "{").unwrap();
    let mut journal = Journal::open(&task, room()).unwrap();
    assert_eq!(names_of(&journal.window(None)), ["a"]);
    journal.append(running("b")).unwrap();
    assert_eq!(names_of(&Journal::open(&task, room()).unwrap().window(None)), ["a", "b"]);
}

#[test]
fn the_record_holds_what_follows_the_acknowledgement() {
    let (_root, _directory, task) = task();
    let mut journal = Journal::open(&task, room()).unwrap();
    assert_eq!(journal.window(None).last, None);
    for number in 0..40 {
        journal.append(running(&format!("u{number}"))).unwrap();
    }
    journal.append(entry("end", TaskState::Failed)).unwrap();
    let window = journal.window(None);
    assert_eq!(window.updates.len(), MAX_MESOS_UPDATES);
    assert_eq!(window.last.unwrap().update.uuid, "u31", "the end is not told before its time");
    let written = status(&["u0", "u1"], Some("u7"));
    let window = journal.window(Some(&written));
    assert_eq!(names_of(&window)[0], "u8");
    assert_eq!(window.last.unwrap().update.uuid, "u39");
    let window = journal.last_word();
    assert_eq!(names_of(&window), ["end"]);
    assert_eq!(window.last.unwrap().state, TaskState::Failed);
    let written = status(&[], Some("u38"));
    let window = journal.window(Some(&written));
    assert_eq!(names_of(&window), ["u39", "end"]);
    assert_eq!(window.last.unwrap().state, TaskState::Failed);
    let written = status(&[], Some("end"));
    let window = journal.window(Some(&written));
    assert!(window.updates.is_empty());
    assert_eq!(window.last.unwrap().update.uuid, "end");
}

#[test]
fn the_window_is_bounded_by_bytes_too() {
    let (_root, _directory, task) = task();
    let mut journal = Journal::open(&task, room()).unwrap();
    let mut keep = |mut large: Entry, kilobytes: usize| {
        large.update.status = serde_json::json!({"data": "x".repeat(kilobytes * 1024)});
        journal.append(large).unwrap();
    };
    for number in 0..12 {
        keep(running(&format!("u{number}")), 47);
    }
    keep(entry("end", TaskState::Finished), 600);
    // As many as the gateway waits for before it stores that they are acknowledged.
    let window = names_of(&journal.window(None));
    assert_eq!((window.len(), window[7].as_str()), (8, "u7"));
    // The end has room of its own.
    let written = status(&["u0"], Some("u5"));
    let window = names_of(&journal.window(Some(&written)));
    assert_eq!(window, ["u6", "u7", "u8", "u9", "u10", "u11", "end"]);
}

#[test]
fn what_is_done_with_is_forgotten_late_and_what_waits_is_bounded() {
    let (_root, _directory, task) = task();
    let mut journal = Journal::open(&task, room()).unwrap();
    for number in 0..MAX_WAITING {
        journal.append(running(&format!("u{number}"))).unwrap();
    }
    journal.append(running("one more")).unwrap_err();
    let written = status(&[], Some("u99"));
    journal.observe(Some(&written));
    assert_eq!(names(&task.path().join("updates")).unwrap().len(), 28 + REMEMBERED);
    assert_eq!(journal.append(running("u50")).unwrap(), Stored::Known);
    assert_eq!(journal.append(running("one more")).unwrap(), Stored::New);
    let journal = Journal::open(&task, room()).unwrap();
    assert_eq!(names_of(&journal.window(Some(&written)))[0], "u100");
    let mut full = Journal::open(&task, room()).unwrap();
    for number in 0..MAX_WAITING {
        // Those that are remembered fill it up before the record is seen.
        drop(full.append(running(&format!("v{number}"))));
    }
    full.append(running("one more of many")).unwrap_err();
    assert_eq!(full.append(entry("end", TaskState::Killed)).unwrap(), Stored::New);
}
