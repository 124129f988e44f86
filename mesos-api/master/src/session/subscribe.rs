//! SUBSCRIBE: the record first, then the older stream's end, the seat, and the new stream.

use std::sync::Arc;

use kube::ResourceExt as _;
use kube::api::PostParams;
use meseta_crds::Framework;
use meseta_mesos_wire::Encoding;
use meseta_mesos_wire::v1::scheduler::call;
use meseta_runtime::{Notice, Seat, WriteError, uptime_millis};
use tokio::sync::mpsc;

use super::{Job, Live, Record, Session, events, stream};
use crate::core::framework::{self, Accepted};
use crate::core::lifecycle::REMOVED;

/// Tries to write a record that others write too.
const WRITE_TRIES: usize = 5;

/// A SUBSCRIBE that passed the checks of the server.
pub(crate) struct Subscription {
    pub(crate) principal: Option<String>,
    /// Given to the new stream.
    pub(crate) stream_id: String,
    pub(crate) encoding: Encoding,
    pub(crate) sender: stream::Sender,
}

/// Why a scheduler was not subscribed.
enum Refused {
    /// Its fault; it is told so.
    Fault(String),
    /// Not its fault; it may try again.
    Later,
}

impl Session {
    /// Subscribes a scheduler, or ends its stream with an ERROR.
    pub(super) async fn subscribe(
        self: &Arc<Self>,
        subscription: Subscription,
        call: call::Subscribe,
    ) {
        // From its record on it is there, though it has no stream yet: it is not to be torn down.
        self.lock().subscribing = true;
        self.try_subscribe(subscription, call).await;
        self.lock().subscribing = false;
        self.look();
    }

    async fn try_subscribe(self: &Arc<Self>, subscription: Subscription, call: call::Subscribe) {
        let (sender, encoding) = (&subscription.sender, subscription.encoding);
        let accepted = match self.store(&subscription, call).await {
            Ok(accepted) => accepted,
            Err(refused) => {
                if let Refused::Fault(message) = refused {
                    tracing::info!(framework = self.framework_id, message, "not subscribed");
                    sender.send(events::record(encoding, &events::error(message))).ok();
                }
                if self.record().is_none() {
                    self.office.forget(self, false);
                    self.end();
                }
                return;
            }
        };
        let Some(record) = self.record() else { return };
        self.fail_over();
        let seat = Seat {
            namespace: self.office.gateway.namespace.clone(),
            framework: record.name.clone(),
            uid: record.uid.clone(),
            roles: accepted.roles,
            suppressed: accepted.suppressed,
        };
        let Ok(notices) = self.office.term.market.enter(seat).await else { return };
        let office = &self.office;
        let hello =
            events::subscribed(&self.framework_id, &office.master_id, &office.gateway.advertised);
        let gone = subscription.sender.gone();
        let number = {
            let mut state = self.lock();
            state.streams += 1;
            state.since = Some(uptime_millis());
            let Subscription { stream_id, encoding, sender, .. } = subscription;
            let number = state.streams;
            state.live = Some(Live { id: stream_id, number, encoding, sender });
            state.send(&hello);
            // Right away: some clients see an event only when the next one begins.
            state.send(&events::heartbeat());
            number
        };
        tracing::info!(framework = self.framework_id, name = record.name, "subscribed");
        let session = Arc::clone(self);
        tokio::spawn(async move {
            let stop = session.stop.clone();
            let follow = session.follow(notices, gone, number);
            stop.run_until_cancelled(follow).await;
        });
    }

    /// Ends the stream of an older instance of the scheduler.
    fn fail_over(&self) {
        let mut state = self.lock();
        state.send(&events::error("Framework failed over"));
        state.live = None;
    }

    /// Checks the framework and stores it.
    async fn store(
        self: &Arc<Self>,
        subscription: &Subscription,
        call: call::Subscribe,
    ) -> Result<Accepted, Refused> {
        let old = self.record();
        let torn_down = self.lock().torn_down;
        let ending = old.as_ref().is_some_and(|record| {
            let record = self.office.rows.framework(&record.name);
            record.is_none_or(|record| record.metadata.deletion_timestamp.is_some())
        });
        if torn_down || ending || self.office.is_completed(&self.framework_id) {
            return Err(Refused::Fault(REMOVED.to_owned()));
        }
        let accepted = framework::subscribe(
            call.framework_info,
            &call.suppressed_roles,
            call.offer_constraints.as_ref(),
            &self.framework_id,
            subscription.principal.as_deref(),
            old.as_ref().map(|record| &record.info),
        )
        .map_err(Refused::Fault)?;
        let stored = self.write(old.map(|record| record.name), &accepted).await.map_err(|err| {
            tracing::warn!(
                error = &err as &dyn std::error::Error,
                framework = self.framework_id,
                "not stored"
            );
            match err {
                WriteError::Rejected(cause) => {
                    Refused::Fault(format!("The framework cannot be stored: {cause}"))
                }
                WriteError::AlreadyExists => {
                    Refused::Fault("The name of the framework's record is taken".to_owned())
                }
                _ => Refused::Later,
            }
        })?;
        self.know(stored, &accepted);
        Ok(accepted)
    }

    /// Writes the spec of the framework's record, or the whole record where there is none.
    pub(super) async fn write(
        &self,
        name: Option<String>,
        accepted: &Accepted,
    ) -> Result<Framework, WriteError> {
        let gateway = &self.office.gateway;
        let writer = &self.office.term.writer;
        let frameworks = self.office.frameworks();
        let parameters = PostParams::default();
        let new = framework::record(accepted, &gateway.namespace);
        let name = match name {
            Some(name) => name,
            None => match writer.write(frameworks.create(&parameters, &new)).await {
                // From an attempt whose answer was lost.
                Err(WriteError::AlreadyExists) => new.name_any(),
                other => return other,
            },
        };
        let spec = framework::spec(accepted);
        let mut tries = 0;
        loop {
            let mut record = writer.read(frameworks.get(&name)).await?;
            let id = record.spec.scheduler.as_ref().map(|scheduler| &scheduler.framework_id);
            if id != Some(&self.framework_id) || record.metadata.deletion_timestamp.is_some() {
                return Err(WriteError::AlreadyExists);
            }
            if record.spec == spec {
                return Ok(record);
            }
            record.spec = spec.clone();
            tries += 1;
            match writer.write(frameworks.replace(&name, &parameters, &record)).await {
                Err(WriteError::Conflict) if tries < WRITE_TRIES => {}
                other => return other,
            }
        }
    }

    /// Remembers what was stored.
    pub(super) fn know(self: &Arc<Self>, stored: Framework, accepted: &Accepted) {
        let record = Record {
            name: stored.name_any(),
            uid: stored.uid().unwrap_or_default(),
            info: accepted.info.clone(),
            capabilities: accepted.capabilities,
            roles: accepted.roles.clone(),
        };
        self.office.bind(&record.uid, self);
        self.lock().record = Some(record);
        self.office.rows.wrote_framework(stored);
    }

    /// Passes on the notices for one stream until it or its seat is gone.
    async fn follow(
        self: Arc<Self>,
        mut notices: mpsc::Receiver<Notice>,
        gone: impl Future<Output = ()>,
        number: u64,
    ) {
        let mut gone = std::pin::pin!(gone);
        loop {
            tokio::select! {
                () = &mut gone => break,
                notice = notices.recv() => match notice {
                    Some(notice) => self.notice(notice, number).await,
                    // Another subscription has taken the seat, or the market does not serve it.
                    None => break,
                },
            }
        }
        self.queue(Job::Disconnected(number)).await.ok();
    }

    /// Ends a stream, unless another has taken its place. Among the calls, so that it does not leave
    /// the seat of the next.
    pub(super) async fn disconnect(&self, number: u64) {
        let uid = {
            let mut state = self.lock();
            if state.live.as_ref().is_none_or(|live| live.number != number) {
                return;
            }
            state.live = None;
            state.since = Some(uptime_millis());
            state.record.as_ref().map(|record| record.uid.clone())
        };
        tracing::info!(framework = self.framework_id, "disconnected");
        if let Some(uid) = uid {
            // The end of the term has the same effect.
            self.office.term.market.leave(&uid).await.ok();
        }
        self.look();
    }
}
