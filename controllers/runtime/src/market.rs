//! Where external schedulers are offered resources and take them, for one term of the leader.
//!
//! A scheduler that is subscribed has a [`Seat`]. What it says goes as a command through one bounded
//! channel to the loop that owns the allocator; what it is told comes as [`Notice`]s through a
//! bounded channel of its own.
//!
//! ```text
//!  enter ──► Offered ──┬─► decline ────────────────────► (filter)
//!                      ├─► take ──► launch ──► records   (rest declined)
//!                      │     └─► drop of Taken ────────► (back)
//!                      └─► Rescinded
//! ```
//!
//! **Invariants:** an offer belongs to one seat and is out once: the book ([`crate::OfferBook`]) holds
//! exactly what the seats were told and have not given back. A seat whose notices are not read is
//! left, as if it had been asked for; nobody else notices. Nothing of it outlives the term.

use std::collections::BTreeSet;
use std::time::Duration;

use meseta_crds::{ResourceList, Task};
use tokio::sync::{mpsc, oneshot};

/// Commands that wait for the loop; whoever sends another waits.
const MAX_COMMANDS: usize = 256;

/// A subscribed scheduler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Namespace of its `Framework` record.
    pub namespace: String,
    /// Name of the record.
    pub framework: String,
    /// Uid of the record: what the other calls name it by.
    pub uid: String,
    /// Paths of the roles it wants offers for.
    pub roles: Vec<String>,
    /// Those of them it wants no offers for now.
    pub suppressed: BTreeSet<String>,
}

/// What a scheduler is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// These were made for it.
    Offered(Vec<LiveOffer>),
    /// These are taken back: their ids.
    Rescinded(Vec<String>),
}

/// An offer, as the scheduler is told of it.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveOffer {
    /// Name of the `Offer` record, `offer-<epoch>-<number>`; never used again.
    pub id: String,
    /// Name of the agent.
    pub agent: String,
    /// Path of the role it is for.
    pub role: String,
    /// What of the agent may be taken.
    pub resources: ResourceList,
}

/// Offers of one agent and role that are about to be launched on: out of the book, held for its
/// holder. Dropping it gives the room back.
#[derive(Debug)]
pub struct Taken {
    /// Name of the agent.
    pub agent: String,
    /// Path of the role.
    pub role: String,
    /// The sum of the offers.
    pub resources: ResourceList,
    pub(crate) number: u64,
    /// Its end tells the loop that this is gone.
    pub(crate) _kept: oneshot::Sender<()>,
}

/// The term has ended: what was said last may or may not have been heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this control plane does not lead any more")]
pub struct Ended;

/// Why offers could not be taken together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TakeError {
    /// None was named.
    #[error("no offers specified")]
    None,
    /// One was named twice.
    #[error("duplicate offer {0} in offer list")]
    Duplicate(String),
    /// It was never made, is another scheduler's, or is gone.
    #[error("offer {0} is no longer valid")]
    Invalid(String),
    /// They are of more than one agent.
    #[error("aggregated offers must belong to one single agent; offer {0} does not")]
    Agents(String),
    /// They are for more than one role.
    #[error("aggregated offers must be allocated to the same role; offer {0} is not")]
    Roles(String),
}

/// Why a task was not launched. Its record does not exist, or is somebody else's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LaunchError {
    /// The agent or the seat is gone, so the offers are.
    #[error("the offers are no longer valid")]
    Gone,
    /// All tasks together need more than was taken; none was launched.
    #[error("more is used than was offered")]
    TooMuch,
    /// There is a record of this name.
    #[error("the record exists already")]
    Exists,
    /// The executor it was to run in was not launched.
    #[error("its executor was not launched")]
    Executor,
    /// The server refuses the record, for this cause.
    #[error("the record is refused: {0}")]
    Refused(String),
}

/// The way to the loop that owns the allocator; cheap to clone. Every call fails with [`Ended`] when
/// the term has ended, and else returns when the loop has taken it in. A call that is dropped while
/// it waits may still be carried out.
#[derive(Clone, Debug)]
pub struct Market {
    commands: mpsc::Sender<Command>,
}

/// What the loop is asked for.
#[derive(Debug)]
pub(crate) enum Command {
    Enter(Seat, oneshot::Sender<mpsc::Receiver<Notice>>),
    SetRoles { uid: String, roles: Vec<String>, suppressed: BTreeSet<String>, done: Done },
    Suppress { uid: String, roles: Vec<String>, done: Done },
    Revive { uid: String, roles: Vec<String>, done: Done },
    Leave { uid: String, done: Done },
    Decline { uid: String, offers: Vec<String>, filter: Duration, done: Done },
    Take { uid: String, offers: Vec<String>, answer: oneshot::Sender<Result<Taken, TakeError>> },
    Launch { taken: Taken, tasks: Vec<Task>, filter: Duration, answer: Launched },
}

/// Told when the command was taken in.
pub(crate) type Done = oneshot::Sender<()>;
/// Told what became of each task, in their order.
pub(crate) type Launched = oneshot::Sender<Vec<Result<Task, LaunchError>>>;

impl Market {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Command>) {
        let (commands, receiver) = mpsc::channel(MAX_COMMANDS);
        (Self { commands }, receiver)
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, Ended> {
        let (answer, answered) = oneshot::channel();
        self.commands.send(command(answer)).await.map_err(|_| Ended)?;
        answered.await.map_err(|_| Ended)
    }

    /// Takes a seat. An older one of the same uid is left: its notices end and its offers go back,
    /// silently. The notices end when the seat is left, when they are not read, and with the term.
    ///
    /// # Errors
    /// [`Ended`].
    pub async fn enter(&self, seat: Seat) -> Result<mpsc::Receiver<Notice>, Ended> {
        self.ask(|answer| Command::Enter(seat, answer)).await
    }

    /// Gives the seat other roles, and says which of them it wants no offers for. Offers of roles
    /// that are not among them are rescinded.
    ///
    /// # Errors
    /// [`Ended`].
    pub async fn set_roles(
        &self,
        uid: &str,
        roles: Vec<String>,
        suppressed: BTreeSet<String>,
    ) -> Result<(), Ended> {
        let uid = uid.to_owned();
        self.ask(|done| Command::SetRoles { uid, roles, suppressed, done }).await
    }

    /// Makes no more offers for these roles of the seat, or for all where none is named.
    ///
    /// # Errors
    /// [`Ended`].
    pub async fn suppress(&self, uid: &str, roles: Vec<String>) -> Result<(), Ended> {
        let uid = uid.to_owned();
        self.ask(|done| Command::Suppress { uid, roles, done }).await
    }

    /// Makes offers again for these roles of the seat, or for all where none is named, whatever was
    /// declined before.
    ///
    /// # Errors
    /// [`Ended`].
    pub async fn revive(&self, uid: &str, roles: Vec<String>) -> Result<(), Ended> {
        let uid = uid.to_owned();
        self.ask(|done| Command::Revive { uid, roles, done }).await
    }

    /// Leaves the seat; its offers go back.
    ///
    /// # Errors
    /// [`Ended`].
    pub async fn leave(&self, uid: &str) -> Result<(), Ended> {
        let uid = uid.to_owned();
        self.ask(|done| Command::Leave { uid, done }).await
    }

    /// Gives offers back, by id; what they hold is not offered to this seat again for so long. Offers
    /// that are gone, or another's, are passed over.
    ///
    /// # Errors
    /// [`Ended`].
    pub async fn decline(
        &self,
        uid: &str,
        offers: Vec<String>,
        filter: Duration,
    ) -> Result<(), Ended> {
        let uid = uid.to_owned();
        self.ask(|done| Command::Decline { uid, offers, filter, done }).await
    }

    /// Takes offers of one agent and role, to launch on them. Either all are taken, or those that
    /// are valid go back.
    ///
    /// # Errors
    /// [`Ended`], or within it a [`TakeError`] for the first offer that does not do.
    pub async fn take(
        &self,
        uid: &str,
        offers: Vec<String>,
    ) -> Result<Result<Taken, TakeError>, Ended> {
        let uid = uid.to_owned();
        self.ask(|answer| Command::Take { uid, offers, answer }).await
    }

    /// Creates the records of `tasks`, placed on the agent of `taken` from birth: first the
    /// executors (`spec.executor`), then the others. What is not used of `taken` is declined for as
    /// long as `filter`.
    ///
    /// Namespace, role, agent, epoch and finalizers are set here. What became of each task is
    /// returned in the order of `tasks`, when it is known: the records that are returned are stored.
    ///
    /// # Errors
    /// [`Ended`]: each record may or may not have been stored.
    pub async fn launch(
        &self,
        taken: Taken,
        tasks: Vec<Task>,
        filter: Duration,
    ) -> Result<Vec<Result<Task, LaunchError>>, Ended> {
        self.ask(|answer| Command::Launch { taken, tasks, filter, answer }).await
    }
}
