//! What the allocator is told, and what it answers: plain data.

use std::collections::BTreeMap;

use jiff::Timestamp;
use meseta_crds::ResourceList;
use meseta_crds::task::Constraint;

/// One agent, whole: a later row of the same name replaces it.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentRow {
    /// Name of the record.
    pub name: String,
    /// What its tasks can be given in all. An amount that cannot be read counts as none.
    pub capacity: ResourceList,
    /// What constraints are compared with.
    pub attributes: BTreeMap<String, String>,
    /// Whether it takes new tasks; what it holds counts either way.
    pub schedulable: bool,
}

/// What an operator has said about one role.
#[derive(Clone, Debug, PartialEq)]
pub struct RoleRow {
    /// The path, such as `eng/etl`.
    pub path: String,
    /// Weight among the children of the same parent; less than 1 counts as 1.
    pub weight: i64,
    /// What the role may hold at most, its children included. An amount that cannot be read counts
    /// as none at all.
    pub limits: ResourceList,
}

/// Namespace and name of a task.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskKey {
    /// Namespace of the record.
    pub namespace: String,
    /// Name of the record.
    pub name: String,
}

/// One task, whole: a later row of the same key replaces it.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskRow {
    /// The record.
    pub key: TaskKey,
    /// Uid of the record; another uid under the same key is another task.
    pub uid: String,
    /// Uid of its framework; a task alone counts to its namespace.
    pub framework: Option<String>,
    /// Path of the role whose share it uses.
    pub role: String,
    /// Among the tasks of one role the higher goes first.
    pub priority: i32,
    /// When the record was made.
    pub created: Timestamp,
    /// What it needs. An amount that cannot be read is more than any agent has.
    pub resources: ResourceList,
    /// What its agent has to be like.
    pub constraints: Vec<Constraint>,
    /// Names of the volumes it shares with other tasks of its framework. For a task that is placed:
    /// those that may have been made on its agent.
    pub shared_volumes: Vec<String>,
    /// Its agent, once it has one.
    pub agent: Option<String>,
    /// Whether it is over: it holds nothing any more, but its shared volumes stay where they are.
    pub terminal: bool,
}

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The task.
    pub task: TaskKey,
    /// Only if it is still this record.
    pub uid: String,
    /// Where it goes.
    pub agent: String,
}

/// What one role holds.
#[derive(Clone, Debug, PartialEq)]
pub struct RoleShare {
    /// The path.
    pub path: String,
    /// What tasks of the role and its children hold, assumed placements included; no zeros.
    pub allocated: ResourceList,
    /// The largest of its shares of one resource, from 0 to 1 unless agents have gone; for people.
    pub dominant_share: f64,
    /// Tasks of the role and its children that wait for an agent.
    pub pending_tasks: usize,
}
