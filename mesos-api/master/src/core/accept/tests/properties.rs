//! Random calls, one after the other, on offers of four cpus each: what was launched lives on, or
//! ends, before the next.
//!
//! - The records use no more than was offered.
//! - Every task of a call is launched or told about, each once.
//! - No two live records have one task id, and no two records one name.
//! - Every task of an executor names an executor that is launched before it or lives.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
struct Asked {
    id: u8,
    /// In tenths.
    cpus: u8,
    executor: Option<(u8, u8)>,
}

#[derive(Clone, Debug)]
enum Of {
    Single(Vec<Asked>),
    Group { executor: u8, custom: bool, tasks: Vec<Asked> },
}

fn asked() -> impl Strategy<Value = Asked> {
    // A zero has no resources; the second number of an executor makes it another.
    (0..6_u8, 0..20_u8, prop::option::of((0..3_u8, 0..2_u8)))
        .prop_map(|(id, cpus, executor)| Asked { id, cpus, executor })
}

fn of() -> impl Strategy<Value = Of> {
    let tasks = || prop::collection::vec(asked(), 0..4);
    prop_oneof![
        tasks().prop_map(Of::Single),
        (0..3_u8, any::<bool>(), tasks()).prop_map(|(executor, custom, tasks)| Of::Group {
            executor,
            custom,
            tasks
        }),
    ]
}

fn sent_executor(number: u8, other: u8) -> v1::ExecutorInfo {
    v1::ExecutorInfo {
        name: Some(other.to_string()),
        framework_id: Some(v1::FrameworkId { value: FRAMEWORK.to_owned() }),
        ..executor(&format!("e{number}"))
    }
}

fn sent(asked: &Asked) -> v1::TaskInfo {
    let resources = vec![scalar("cpus", f64::from(asked.cpus) / 10.0)];
    let plain = v1::TaskInfo { resources, ..task(&format!("t{}", asked.id)) };
    match asked.executor {
        Some((number, other)) => {
            v1::TaskInfo { command: None, executor: Some(sent_executor(number, other)), ..plain }
        }
        None => plain,
    }
}

fn operation(of: &Of) -> Operation {
    match of {
        Of::Single(tasks) => launch(tasks.iter().map(sent).collect()),
        Of::Group { executor, custom, tasks } => {
            let kind = if *custom {
                v1::executor_info::Type::Custom
            } else {
                v1::executor_info::Type::Default
            };
            let mut info = sent_executor(*executor, 0);
            info.r#type = Some(kind.into());
            let member = |asked: &Asked| {
                let plain = sent(&Asked { executor: None, ..asked.clone() });
                if *custom { v1::TaskInfo { command: None, ..plain } } else { plain }
            };
            if !custom {
                info.command = None;
            }
            launch_group(info, tasks.iter().map(member).collect())
        }
    }
}

fn ids(operations: &[Operation]) -> Vec<String> {
    let tasks = operations.iter().filter_map(tasks_of).flatten();
    tasks.map(|task| task.task_id.value.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn plans_keep_to_what_was_offered_and_leave_nobody_without_an_answer(
        calls in prop::collection::vec((prop::collection::vec(of(), 0..4), any::<u8>()), 1..6)
    ) {
        let mut rows = Rows::default();
        for (operations, ends) in calls {
            let operations: Vec<Operation> = operations.iter().map(operation).collect();
            let plan = planned(&rows, &operations);

            let mut used = Amounts::default();
            for task in &plan.tasks {
                used.add(&Amounts::of_list(&task.spec.resources));
            }
            prop_assert!(Amounts::of_list(&offered()).contains(&used), "{used}");

            let mut answered: Vec<String> =
                plan.told.iter().map(|status| status.task_id.value.clone()).collect();
            answered.extend(launched(&plan).into_iter().filter(|id| !id.starts_with('*')));
            let mut all = ids(&operations);
            answered.sort();
            all.sort();
            prop_assert_eq!(answered, all);

            for task in &plan.tasks {
                let row = TaskRow::of(task).unwrap();
                if let Some(id) = &row.task_id {
                    prop_assert!(!rows.task(id).is_some_and(TaskRow::is_live), "{} lives", id);
                }
                if let Some(executor) = &row.executor_name {
                    let known = rows.get(executor).unwrap();
                    prop_assert!(known.is_executor() && !known.state.is_terminal());
                }
                prop_assert!(rows.get(&row.name).is_none(), "{} twice", row.name);
                rows.insert(TaskRow { state: TaskState::Running, ..row });
            }
            // Some end, and their schedulers know.
            let names: Vec<String> = rows.iter().map(|row| row.name.clone()).collect();
            for (index, name) in names.iter().enumerate() {
                if ends.rotate_left(u32::try_from(index % 8).unwrap()) & 1 == 1 {
                    let row = rows.get(name).unwrap().clone();
                    rows.insert(TaskRow {
                        state: TaskState::Finished,
                        held_by_scheduler: false,
                        held_by_agent: false,
                        ..row
                    });
                }
            }
        }
    }
}
