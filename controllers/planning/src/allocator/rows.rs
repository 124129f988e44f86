//! What the allocator is told, and what it answers: plain data.

use std::collections::BTreeMap;
use std::fmt;

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
    /// What the role is given before others as long as it wants it, its children included. An
    /// amount that cannot be read counts as none.
    pub guarantees: ResourceList,
}

/// Namespace and name of a task.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskKey {
    /// Namespace of the record.
    pub namespace: String,
    /// Name of the record.
    pub name: String,
}

impl fmt::Display for TaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
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

/// An external scheduler in one of its roles: what offers are made to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeatKey {
    /// Uid of the framework.
    pub framework: String,
    /// Path of the role.
    pub role: String,
}

/// Number of an offer; each is given once as long as the allocator lives.
pub type OfferId = u64;

/// Room on one agent that one seat may use until it says otherwise or the time is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// Its number.
    pub id: OfferId,
    /// To whom it is made.
    pub seat: SeatKey,
    /// Where the room is.
    pub agent: String,
    /// How much it is; no zeros.
    pub resources: ResourceList,
    /// When it is taken back, in milliseconds of the clock that `now` is read from.
    pub expires: i64,
}

/// What one cycle has decided.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decisions {
    /// Tasks that go to agents, in the order in which they were decided.
    pub placements: Vec<Placement>,
    /// New offers, in the order in which they were decided.
    pub offers: Vec<Offer>,
    /// Offers that were taken back since the last cycle, and of which the scheduler has to be told.
    pub rescinded: Vec<OfferId>,
}

/// Why offers were not accepted; nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AcceptError {
    /// No offer was named.
    NoOffer,
    /// The offer is not live (any more), or was named twice.
    Gone(OfferId),
    /// The offers are of several agents or seats.
    Mixed,
    /// The tasks need more than was offered.
    TooMuch,
    /// The task is of another framework, role or agent than the offers.
    Foreign(TaskKey),
    /// A task of that name is known already, or was named twice.
    Exists(TaskKey),
}

impl fmt::Display for AcceptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoOffer => f.write_str("no offer was named"),
            Self::Gone(offer) => write!(f, "offer {offer} is no longer valid"),
            Self::Mixed => f.write_str("the offers are of several agents or roles"),
            Self::TooMuch => f.write_str("the tasks need more than was offered"),
            Self::Foreign(task) => write!(f, "task {task} is not of the framework, role and agent"),
            Self::Exists(task) => write!(f, "task {task} exists already"),
        }
    }
}

impl std::error::Error for AcceptError {}

/// What one role holds.
#[derive(Clone, Debug, PartialEq)]
pub struct RoleShare {
    /// The path.
    pub path: String,
    /// What tasks of the role and its children hold, assumed placements and live offers included;
    /// no zeros.
    pub allocated: ResourceList,
    /// The largest of its shares of one resource, from 0 to 1 unless agents have gone; for people.
    pub dominant_share: f64,
    /// Tasks of the role and its children that wait for an agent.
    pub pending_tasks: usize,
}
