//! Events as an executor gets them.

use meseta_mesos_wire::v1;
use v1::executor::Event;
use v1::executor::event::{Acknowledged, Kill, Launch, LaunchGroup, Message, Subscribed, Type};

use crate::backend::ExecutorFacts;
use crate::session::Out;

/// The event for `out`.
pub(crate) fn event(out: Out, executor: &ExecutorFacts, agent: &v1::AgentInfo) -> Event {
    let task_id = |value| v1::TaskId { value };
    match out {
        Out::Subscribed => {
            Event { subscribed: Some(subscribed(executor, agent)), ..of_type(Type::Subscribed) }
        }
        Out::Launch(mut task) => {
            complete(&mut task, executor);
            Event { launch: Some(Launch { task: *task }), ..of_type(Type::Launch) }
        }
        Out::LaunchGroup(mut tasks) => {
            for task in &mut tasks {
                complete(task, executor);
            }
            let task_group = v1::TaskGroupInfo { tasks };
            Event { launch_group: Some(LaunchGroup { task_group }), ..of_type(Type::LaunchGroup) }
        }
        Out::Kill { task_id: id, policy } => Event {
            kill: Some(Kill { task_id: task_id(id), kill_policy: policy }),
            ..of_type(Type::Kill)
        },
        Out::Acknowledged(update) => Event {
            acknowledged: Some(Acknowledged {
                task_id: task_id(update.task_id),
                uuid: update.uuid,
            }),
            ..of_type(Type::Acknowledged)
        },
        Out::Message(data) => {
            Event { message: Some(Message { data: data.to_vec() }), ..of_type(Type::Message) }
        }
        Out::Shutdown => of_type(Type::Shutdown),
    }
}

/// Keeps a stream alive.
pub(crate) fn heartbeat() -> Event {
    of_type(Type::Heartbeat)
}

fn of_type(kind: Type) -> Event {
    Event { r#type: Some(kind.into()), ..Event::default() }
}

/// A scheduler may leave out of which framework its executor is; an executor is told.
fn complete(task: &mut v1::TaskInfo, executor: &ExecutorFacts) {
    if let Some(info) = &mut task.executor {
        let value = || v1::FrameworkId { value: executor.framework_id.clone() };
        info.framework_id.get_or_insert_with(value);
    }
}

/// The ids are set here, alone in their messages: executors compare them with what they were started
/// with, and `pymesos` whole messages.
fn subscribed(executor: &ExecutorFacts, agent: &v1::AgentInfo) -> Subscribed {
    let framework_id = v1::FrameworkId { value: executor.framework_id.clone() };
    let mut executor_info = executor.executor_info.clone();
    executor_info.executor_id = v1::ExecutorId { value: executor.executor_id.clone() };
    executor_info.framework_id = Some(framework_id.clone());
    let mut framework_info = executor.framework_info.clone();
    framework_info.id = Some(framework_id);
    Subscribed {
        executor_info,
        framework_info,
        agent_info: agent.clone(),
        container_id: Some(v1::ContainerId { value: executor.uid.clone(), parent: None }),
    }
}
