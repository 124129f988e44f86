use std::time::Duration;

use meseta_mesos_wire::json;
use serde_json::{Value, json};

use super::*;

fn completed(status: &Value) -> Option<Value> {
    let agent = v1::AgentInfo {
        id: Some(v1::AgentId { value: "agent-1".to_owned() }),
        ..v1::AgentInfo::default()
    };
    let executor = ExecutorFacts {
        uid: "uid-e".to_owned(),
        framework_id: "f".to_owned(),
        executor_id: "e".to_owned(),
        executor_info: v1::ExecutorInfo::default(),
        framework_info: v1::FrameworkInfo::default(),
        subscribe_within: Duration::ZERO,
    };
    let ip = Some("10.0.0.7".parse().unwrap());
    let origin = Origin { agent: &agent, executor: &executor, ip, now_seconds: 12.5 };
    complete(json::from_value(status).unwrap(), &origin).map(|status| json::to_value(&status))
}

#[test]
fn what_the_executor_left_out_is_filled_in() {
    let status = json!({"task_id": {"value": "t"}, "state": "TASK_RUNNING"});
    assert_eq!(
        completed(&status),
        Some(json!({
            "task_id": {"value": "t"},
            "state": "TASK_RUNNING",
            "agent_id": {"value": "agent-1"},
            "timestamp": 12.5,
            "executor_id": {"value": "e"},
            "source": "SOURCE_EXECUTOR",
            "container_status": {
                "container_id": {"value": "uid-e"},
                "network_infos": [{"ip_addresses": [{"protocol": "IPv4", "ip_address": "10.0.0.7"}]}],
            },
        }))
    );
}

#[test]
fn what_the_executor_said_stays() {
    let status = json!({
        "task_id": {"value": "t"},
        "state": "TASK_RUNNING",
        "timestamp": 3.0,
        "agent_id": {"value": "agent-1"},
        "message": "m",
        "data": "aGk=",
        "container_status": {
            "container_id": {"value": "x", "parent": {"value": "uid-e"}},
            "network_infos": [{"ip_addresses": [{"protocol": "IPv4", "ip_address": "10.1.1.1"}]}],
        },
    });
    let completed = completed(&status).unwrap();
    for field in ["timestamp", "agent_id", "message", "data", "container_status"] {
        assert_eq!(completed[field], status[field], "{field}");
    }
}

#[test]
fn an_update_that_names_another_agent_is_dropped() {
    let status = json!({
        "task_id": {"value": "t"},
        "state": "TASK_RUNNING",
        "agent_id": {"value": "agent-2"},
    });
    assert_eq!(completed(&status), None);
}
