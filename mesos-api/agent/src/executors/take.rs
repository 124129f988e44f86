//! Takes an executor's updates, one at a time for each executor.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use meseta_mesos_wire::v1;
use meseta_serve::BodyRoom;

use super::{Executors, Slot, Turn};
use crate::session::{Acknowledgement, Session};
use crate::update::{self, Origin};

/// Why an update is not stored. The executor has to send it again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotTaken {
    #[error("too many updates of this executor wait")]
    Busy,
    #[error("the update cannot be stored")]
    Store(#[source] io::Error),
}

/// Has an update stored and acknowledged. One that names another agent is dropped without an
/// acknowledgement, as in Mesos. So is one of a task that the executor was not given, which Mesos
/// passes on: here there is no record that could hold it. Dropping the future does not undo it.
/// `held` is the room of the update's call.
///
/// # Errors
/// It is not stored.
pub(crate) async fn take_update(
    executors: &Executors,
    slot: &Arc<Slot>,
    status: v1::TaskStatus,
    held: BodyRoom,
) -> Result<(), NotTaken> {
    let room = Arc::clone(slot.room()).try_acquire_owned().map_err(|_| NotTaken::Busy)?;
    let (executors, slot) = (executors.clone(), Arc::clone(slot));
    // A caller that disconnects must not leave an update stored and never acknowledged.
    let taken = tokio::spawn(async move {
        let _held = (room, held);
        let _turn = slot.turn().await;
        store(&executors, &slot, status).await
    });
    let taken = taken.await.unwrap_or_else(|ended| Err(io::Error::other(ended)));
    taken.map_err(NotTaken::Store)
}

/// Has the updates that came with a SUBSCRIBE stored, in their order and before any newer one. Those
/// that cannot be are left to the next SUBSCRIBE, and their number is logged. Dropping the future does
/// not undo it. `held` is the turn, and the room of their call.
pub(crate) async fn take_brought(
    executors: &Executors,
    slot: &Arc<Slot>,
    updates: Vec<v1::TaskStatus>,
    held: (Turn, BodyRoom),
) {
    let (executors, slot) = (executors.clone(), Arc::clone(slot));
    let taken = tokio::spawn(async move {
        let _held = held;
        let (mut refused, mut last) = (0_usize, None);
        for status in updates {
            if let Err(error) = store(&executors, &slot, status).await {
                refused += 1;
                last = Some(error);
            }
        }
        if let Some(error) = last {
            let (executor, error) = (&slot.facts().uid, &error as &(dyn Error + 'static));
            tracing::warn!(executor, refused, error, "updates brought along are not taken");
        }
    });
    if let Err(error) = taken.await {
        tracing::error!(%error, "the updates brought along are not taken");
    }
}

/// To be called in turn.
async fn store(executors: &Executors, slot: &Slot, status: v1::TaskStatus) -> io::Result<()> {
    let (facts, task_id) = (slot.facts(), status.task_id.value.clone());
    let uuid = status.uuid.clone().unwrap_or_default();
    let acknowledgement = Acknowledgement { task_id: task_id.clone(), uuid };
    if slot.change(|session| session.repeated(&acknowledgement)) {
        return Ok(());
    }
    let task = slot.quietly(|session| session.task_of(&task_id).map(str::to_owned));
    let Some(uid) = task else {
        if !slot.change(|session| session.late(&acknowledgement)) {
            log_stray(slot, &task_id);
        }
        return Ok(());
    };
    let origin = Origin {
        agent: executors.agent(),
        executor: facts,
        ip: executors.ip(),
        now_seconds: now_seconds(),
    };
    let Some(status) = update::complete(status, &origin) else {
        tracing::warn!(executor = facts.uid, task_id, "an update that names another agent");
        return Ok(());
    };
    let terminal = update::is_terminal(&status);
    let stored = executors.backend().store(uid.clone(), status).await?;
    slot.change(|session| session.stored(&uid, acknowledgement, terminal, stored));
    Ok(())
}

/// The first of an executor is worth a warning; it may have any number of them.
fn log_stray(slot: &Slot, task_id: &str) {
    let (executor, what) = (&slot.facts().uid, "an update of a task it was not given");
    if slot.quietly(Session::first_stray) {
        tracing::warn!(executor, task_id, "{what}; further ones are not told of");
    } else {
        tracing::debug!(executor, task_id, "{what}");
    }
}

fn now_seconds() -> f64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs_f64()
}
