use super::*;

fn task(name: &str, task_id: &str, incarnation: i64) -> TaskRow {
    TaskRow {
        name: name.to_owned(),
        task_id: Some(task_id.to_owned()),
        incarnation,
        ..TaskRow::default()
    }
}

fn executor(name: &str, agent: &str, id: &str, incarnation: i64) -> TaskRow {
    TaskRow {
        name: name.to_owned(),
        agent: agent.to_owned(),
        executor_id: Some(id.to_owned()),
        incarnation,
        ..TaskRow::default()
    }
}

#[test]
fn the_newest_incarnation_of_an_id_counts() {
    let mut rows = Rows::default();
    rows.insert(task("b", "t", 1));
    rows.insert(task("a", "t", 0));
    rows.insert(task("c", "other", 0));
    assert_eq!(rows.task("t").unwrap().name, "b");
    rows.remove("b");
    assert_eq!(rows.task("t").unwrap().name, "a");
    rows.remove("a");
    assert_eq!(rows.task("t"), None);
    assert_eq!(rows.iter().count(), 1);
}

#[test]
fn a_row_replaces_the_one_of_its_name() {
    let mut rows = Rows::default();
    rows.insert(task("a", "t", 0));
    rows.insert(TaskRow { agent: "x".to_owned(), ..task("a", "t", 0) });
    assert_eq!(rows.iter().count(), 1);
    assert_eq!(rows.task("t").unwrap().agent, "x");
}

#[test]
fn an_executor_is_found_by_agent_and_id() {
    let mut rows = Rows::default();
    rows.insert(executor("a", "one", "e", 0));
    rows.insert(executor("b", "two", "e", 0));
    rows.insert(executor("c", "two", "f", 0));
    let ended = TaskRow { state: TaskState::Finished, ..executor("d", "two", "g", 0) };
    rows.insert(ended);
    assert_eq!(rows.executor("one", "e").unwrap().name, "a");
    assert_eq!(rows.executor("two", "e").unwrap().name, "b");
    assert_eq!(rows.executor("one", "f"), None);
    assert_eq!(rows.executors_on("two"), ["e", "f"]);
    assert_eq!(rows.executors_on("three"), Vec::<String>::new());
}

#[test]
fn a_record_of_no_mesos_framework_has_no_row() {
    assert_eq!(TaskRow::of(&Task::default()), None);
}

#[test]
fn an_id_is_free_when_the_task_has_ended_and_its_scheduler_knows() {
    let row = |state, held| TaskRow { state, held_by_scheduler: held, ..TaskRow::default() };
    assert!(row(TaskState::Running, true).is_live());
    assert!(row(TaskState::Unreachable, true).is_live());
    assert!(row(TaskState::Finished, true).is_live());
    assert!(!row(TaskState::Finished, false).is_live());
}
