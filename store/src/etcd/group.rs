//! Writes of many callers in one etcd transaction, each a nested compare-and-put.
//!
//! ```text
//!  txn { if generation is still ours:
//!        txn { if mod(a) = 5 then put a else get a }
//!        txn { if mod(b) = 0 then put b else get b }      one raft entry, one sync,
//!        txn { if mod(c) = 9 then delete c else get c } } one revision
//! ```
//!
//! The comparisons are all made before anything is written, and etcd refuses to write a key twice
//! in one transaction: a key is in a group at most once, and its next write waits for the next
//! group. One group is under way at a time; the next one gathers meanwhile.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use etcd_client::{
    Compare, CompareOp, GetResponse, PutOptions, Txn, TxnOp, TxnOpResponse, TxnResponse,
};
use futures::FutureExt as _;
use tokio::sync::{mpsc, oneshot};

use super::Replaced;
use super::cluster::{Cluster, Fault, Member};
use super::layout::{self, Layout};
use super::positions::Positions;
use crate::cause::Cause;
use crate::room::{self, Taken};
use crate::{Change, Error, Expect, LeaseId, Version, envelope};

/// Writes in one group: etcd takes 128 operations by default (`--max-txn-ops`), and counts the
/// outer ones and, below each, one more.
const MAX_GROUP_WRITES: usize = 127;
/// Bytes of one group, of etcd's 1.5 MiB by default (`--max-request-bytes`); a single write is
/// bounded by [`crate::MAX_VALUE_BYTES`] and always fits.
const MAX_GROUP_BYTES: usize = 1_300_000;
/// What a write takes in a group beside its value and three times its key.
const WRITE_BYTES: usize = 64;
/// Writes looked at to make a group; with the same key again and again it is not full.
const MAX_WAITING: usize = 4 * MAX_GROUP_WRITES;

/// A write whose caller waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) key: String,
    pub(super) expect: Expect,
    pub(super) change: Change,
    pub(super) reply: oneshot::Sender<Result<Version, Error>>,
    pub(super) _room: Taken,
}

impl Waiting {
    fn bytes(&self) -> usize {
        room::value_bytes(&self.change) + 3 * self.key.len() + WRITE_BYTES
    }

    fn lease(&self) -> Option<LeaseId> {
        match self.change {
            Change::Put { lease, .. } => lease,
            Change::Delete => None,
        }
    }

    fn settle(self, answer: Result<Version, Error>) {
        // Who has dropped the future does not want to know.
        let _gone = self.reply.send(answer);
    }
}

/// Where groups are written.
pub(super) struct Writer {
    pub(super) cluster: Arc<Cluster>,
    pub(super) layout: Layout,
    /// The id of the store; in another one nothing is written.
    pub(super) generation: String,
}

/// Writes group after group until the queue is closed.
pub(super) async fn run(writer: Writer, mut queue: mpsc::UnboundedReceiver<Waiting>) {
    let mut waiting = VecDeque::new();
    loop {
        if waiting.is_empty() {
            let Some(first) = queue.recv().await else { return };
            waiting.push_back(first);
        }
        while waiting.len() < MAX_WAITING
            && let Ok(next) = queue.try_recv()
        {
            waiting.push_back(next);
        }
        let group = take_group(&mut waiting);
        writer.commit(group).await;
    }
}

/// Takes the next group: in order, each key once, within the bounds.
fn take_group(waiting: &mut VecDeque<Waiting>) -> Vec<Waiting> {
    let mut group: Vec<Waiting> = Vec::new();
    let mut keys = HashSet::new();
    let mut bytes = 0;
    let mut later = VecDeque::new();
    while let Some(next) = waiting.pop_front() {
        if group.len() == MAX_GROUP_WRITES
            || (!group.is_empty() && bytes + next.bytes() > MAX_GROUP_BYTES)
        {
            waiting.push_front(next);
            break;
        }
        if keys.insert(next.key.clone()) {
            bytes += next.bytes();
            group.push(next);
        } else {
            later.push_back(next);
        }
    }
    later.append(waiting);
    *waiting = later;
    group
}

impl Writer {
    /// Writes a group and answers it. Where one of them has no lease, or there is no room for puts,
    /// etcd refuses all; then those that can be written are written without the others.
    async fn commit(&self, group: Vec<Waiting>) {
        let fault = match self.write(&group).await {
            Ok(response) => return answer(&self.layout, group, &response),
            Err(fault) => fault,
        };
        let (suspects, rest): (Vec<Waiting>, Vec<Waiting>) =
            group.into_iter().partition(|waiting| match &fault {
                Fault::NoLease => waiting.lease().is_some(),
                Fault::NoSpace(_) => matches!(waiting.change, Change::Put { .. }),
                Fault::Compacted | Fault::Future | Fault::NotDone(_) | Fault::Unknown(_) => true,
            });
        match fault {
            Fault::NoLease => {
                for suspect in suspects {
                    self.commit_leased(suspect).await;
                }
            }
            fault => fail(suspects, fault),
        }
        if !rest.is_empty() {
            match self.write(&rest).await {
                Ok(response) => answer(&self.layout, rest, &response),
                Err(fault) => fail(rest, fault),
            }
        }
    }

    /// Writes one record under a lease that may not be there.
    async fn commit_leased(&self, waiting: Waiting) {
        let group = [waiting];
        let result = self.write(&group).await;
        let [waiting] = group;
        match (result, waiting.lease()) {
            (Ok(response), _) => answer(&self.layout, vec![waiting], &response),
            (Err(Fault::NoLease), Some(lease)) => waiting.settle(Err(Error::LeaseNotFound(lease))),
            (Err(fault), _) => fail(vec![waiting], fault),
        }
    }

    async fn write(&self, group: &[Waiting]) -> Result<TxnResponse, Fault> {
        let call = |mut member: Member| {
            let txn = self.transaction(group);
            async move { member.kv.txn(txn).await }.boxed()
        };
        self.cluster.write(call).await
    }

    /// The group as etcd takes it.
    fn transaction(&self, group: &[Waiting]) -> Txn {
        let Self { layout, generation, .. } = self;
        let ours =
            Compare::value(layout.generation.as_str(), CompareOp::Equal, generation.as_str());
        let operations: Vec<TxnOp> = group
            .iter()
            .zip(0..)
            .map(|(waiting, offered)| operation(layout, waiting, offered))
            .collect();
        Txn::new().when([ours]).and_then(operations)
    }
}

/// Tells everybody of a group of one fault.
fn fail(group: Vec<Waiting>, fault: Fault) {
    let no_space = matches!(fault, Fault::NoSpace(_));
    let cause = Cause::new(fault.into_error());
    for waiting in group {
        let cause = Box::new(cause.clone());
        let error = if no_space { Error::NoSpace(cause) } else { Error::Unavailable(cause) };
        waiting.settle(Err(error));
    }
}

fn operation(layout: &Layout, waiting: &Waiting, offered: u64) -> TxnOp {
    let name = layout.record(&waiting.key);
    let expected = match waiting.expect {
        Expect::Absent => Compare::mod_revision(name.clone(), CompareOp::Equal, 0),
        Expect::Version(version) => {
            let revision = layout::sent(version.revision());
            Compare::mod_revision(name.clone(), CompareOp::Equal, revision)
        }
    };
    let found = TxnOp::get(name.clone(), None);
    let change = match &waiting.change {
        Change::Put { value, lease } => {
            let options = lease.map(|lease| PutOptions::new().with_lease(lease.0));
            TxnOp::put(name, envelope::seal(offered, value), options)
        }
        // There is nothing to delete, so nothing that a version could stand for.
        Change::Delete if waiting.expect == Expect::Absent => return found,
        Change::Delete => TxnOp::delete(name, None),
    };
    TxnOp::txn(Txn::new().when([expected]).and_then([change]).or_else([found]))
}

/// Tells everybody of a group what came of it.
fn answer(layout: &Layout, group: Vec<Waiting>, response: &TxnResponse) {
    if !response.succeeded() {
        for waiting in group {
            waiting.settle(Err(super::unavailable(Replaced)));
        }
        return;
    }
    let revision = response.header().map_or(0, |header| layout::revision(header.revision()));
    let mut positions = Positions::default();
    let mut outcomes = response.op_responses().into_iter();
    for (waiting, offered) in group.into_iter().zip(0..) {
        let put = matches!(waiting.change, Change::Put { .. }).then_some(offered);
        let answer = match outcomes.next() {
            Some(TxnOpResponse::Txn(nested)) if nested.succeeded() => {
                let version = positions.next(revision, put);
                Ok(version.expect("a group is smaller than there are positions"))
            }
            Some(TxnOpResponse::Txn(nested)) => match nested.op_responses().pop() {
                Some(TxnOpResponse::Get(found)) => Err(conflict(layout, found)),
                _ => Err(super::unavailable(Garbled)),
            },
            Some(TxnOpResponse::Get(found)) => Err(conflict(layout, found)),
            Some(TxnOpResponse::Put(_) | TxnOpResponse::Delete(_)) | None => {
                Err(super::unavailable(Garbled))
            }
        };
        waiting.settle(answer);
    }
}

/// etcd answers something that was not asked.
#[derive(Debug, thiserror::Error)]
#[error("etcd's answer does not fit the transaction")]
struct Garbled;

fn conflict(layout: &Layout, mut found: GetResponse) -> Error {
    match found.take_kvs().pop().map(|found| layout.open(found)).transpose() {
        Ok(current) => Error::Conflict { current },
        Err(corrupt) => corrupt,
    }
}

#[cfg(test)]
mod tests;
