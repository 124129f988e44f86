//! The calls of a scheduler, carried out one after the other.

use std::sync::Arc;

use bytes::Bytes;
use meseta_mesos_wire::Encoding;
use meseta_mesos_wire::v1::OfferId;
use meseta_mesos_wire::v1::scheduler::{Call, call};
use meseta_serve::BodyRoom;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::{Record, Session, Subscription};
use crate::core::offer::filter;
use crate::core::statuses;
use crate::server::answer::Refusal;

/// A call that waits for its turn, as it came: decoded it may be many times as large.
pub(crate) struct Waiting {
    pub(crate) bytes: Bytes,
    pub(crate) encoding: Encoding,
    /// The room it takes among all calls, and its share of what one framework may have waiting.
    /// Given back when the call is done.
    pub(crate) _held: (BodyRoom, OwnedSemaphorePermit),
}

/// What a session does in order.
pub(crate) enum Job {
    /// SUBSCRIBE.
    Subscribe(Box<Subscription>, Waiting),
    /// UPDATE_FRAMEWORK; answered when it is done.
    Update(Option<String>, oneshot::Sender<Result<(), Refusal>>, Waiting),
    /// Any other call; answered before.
    Call(call::Type, Waiting),
    /// The stream of this number has ended.
    Disconnected(u64),
}

impl Session {
    /// Works through the queue until it is dropped.
    pub(super) async fn work(self: Arc<Self>, mut queue: mpsc::Receiver<Job>) {
        while let Some(job) = queue.recv().await {
            let waiting = match &job {
                Job::Subscribe(_, waiting) | Job::Update(_, _, waiting) | Job::Call(_, waiting) => {
                    waiting
                }
                Job::Disconnected(number) => {
                    self.disconnect(*number).await;
                    continue;
                }
            };
            let decoding = &self.office.gateway.decoding;
            let bytes = waiting.bytes.clone();
            let decoded = decoding.decode(waiting.encoding, bytes, |call| call).await;
            // The server has decoded it once.
            let Ok((call, _room)) = decoded else { continue };
            match job {
                Job::Subscribe(subscription, waiting) => {
                    if let Some(subscribe) = call.subscribe {
                        self.subscribe(*subscription, subscribe).await;
                    }
                    drop(waiting);
                }
                Job::Update(principal, answer, waiting) => {
                    if let Some(update) = call.update_framework {
                        answer.send(self.update(update, principal).await).ok();
                    }
                    drop(waiting);
                }
                Job::Call(kind, waiting) => self.call(call, kind, waiting).await,
                Job::Disconnected(_) => {}
            }
        }
    }

    /// Carries out a call that was answered with 202. One that makes no sense now is dropped, as a
    /// Mesos master does.
    async fn call(self: &Arc<Self>, call: Call, kind: call::Type, waiting: Waiting) {
        use call::Type as T;
        let Some(record) = self.record() else { return };
        let uid = &record.uid;
        let market = &self.office.term.market;
        // Whatever the market says: after the end of the term nobody is there any more.
        match kind {
            T::Accept => {
                if let Some(accept) = call.accept {
                    self.accept(accept).await;
                }
            }
            T::Decline => {
                if let Some(decline) = call.decline {
                    let ids = values(decline.offer_ids);
                    market.decline(uid, ids, filter(decline.filters.as_ref())).await.ok();
                }
            }
            T::Revive => {
                let roles = call.revive.map(|revive| revive.roles).unwrap_or_default();
                if record.has_roles(&roles) {
                    market.revive(uid, roles).await.ok();
                }
            }
            T::Suppress => {
                let roles = call.suppress.map(|suppress| suppress.roles).unwrap_or_default();
                if record.has_roles(&roles) {
                    market.suppress(uid, roles).await.ok();
                }
            }
            T::Kill => {
                if let Some(kill) = call.kill {
                    self.kill(&record, &kill).await;
                }
            }
            T::Shutdown => {
                if let Some(shutdown) = call.shutdown {
                    self.shutdown(&record, &shutdown).await;
                }
            }
            T::Acknowledge => {
                if let Some(acknowledge) = call.acknowledge {
                    self.acknowledge(uid, &acknowledge);
                }
            }
            T::Reconcile => {
                if let Some(reconcile) = call.reconcile {
                    self.reconcile(&record, &reconcile).await;
                }
            }
            T::Message => {
                if let Some(message) = call.message {
                    self.message(uid, message, waiting);
                }
            }
            T::Teardown => self.teardown().await,
            // Nothing of these is offered or known here, so there is nothing to answer.
            T::AcceptInverseOffers
            | T::DeclineInverseOffers
            | T::AcknowledgeOperationStatus
            | T::ReconcileOperations
            | T::Request => {}
            // The server has dealt with them.
            T::Subscribe | T::UpdateFramework | T::Unknown => {}
        }
    }

    fn acknowledge(&self, uid: &str, acknowledge: &call::Acknowledge) {
        let Some(uuid) = statuses::uuid_text(&acknowledge.uuid) else { return };
        let rows = &self.office.rows;
        let row = rows.with_tasks(uid, |rows| rows.task(&acknowledge.task_id.value).cloned());
        let Some(row) = row.filter(|row| row.agent == acknowledge.agent_id.value) else { return };
        let taken = self.lock().delivery(&row).acknowledge(&row, &uuid);
        if taken {
            rows.touch(uid, &row.name);
        }
    }
}

impl Record {
    /// Whether all of these are roles of the framework.
    fn has_roles(&self, roles: &[String]) -> bool {
        roles.iter().all(|role| self.roles.contains(role))
    }
}

/// Ids as texts.
fn values(ids: Vec<OfferId>) -> Vec<String> {
    ids.into_iter().map(|id| id.value).collect()
}
