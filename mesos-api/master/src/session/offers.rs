//! What the market offers, on its way to the scheduler.

use meseta_runtime::{LiveOffer, Notice};

use super::{Record, Session, events};
use crate::core::offer::{self, AgentFacts, MAX_FILTER, Offered};

impl Session {
    /// Passes a notice on to the stream of this number; to another it says nothing.
    pub(super) async fn notice(&self, notice: Notice, number: u64) {
        match notice {
            Notice::Offered(offers) => {
                let _declining = self.declining.lock().await;
                let Some(record) = self.record() else { return };
                let (wanted, unwanted): (Vec<_>, Vec<_>) = offers
                    .into_iter()
                    .partition(|o| offer::is_wanted(&record.info, &o.role, &o.resources));
                if !wanted.is_empty() {
                    let offers = wanted.iter().map(|offer| self.shown(offer, &record)).collect();
                    self.send_to(number, &events::offers(offers));
                }
                if !unwanted.is_empty() {
                    let ids = unwanted.into_iter().map(|offer| offer.id).collect();
                    let market = &self.office.term.market;
                    market.decline(&record.uid, ids, MAX_FILTER).await.ok();
                }
            }
            Notice::Rescinded(ids) => {
                for id in ids {
                    self.send_to(number, &events::rescind(id));
                }
            }
        }
    }

    fn shown(&self, live: &LiveOffer, record: &Record) -> meseta_mesos_wire::v1::Offer {
        let rows = &self.office.rows;
        let agent = rows.agent(&live.agent).map_or_else(
            // The market's watch may be ahead.
            || AgentFacts {
                name: live.agent.clone(),
                hostname: live.agent.clone(),
                ..AgentFacts::default()
            },
            |row| row.facts.clone(),
        );
        let executors = rows.with_tasks(&record.uid, |rows| rows.executors_on(&live.agent));
        let offered = Offered { id: &live.id, role: &live.role, resources: &live.resources };
        offer::offer(offered, &agent, &self.framework_id, record.capabilities, executors)
    }

    fn send_to(&self, number: u64, event: &meseta_mesos_wire::v1::scheduler::Event) {
        let state = self.lock();
        if state.live.as_ref().is_some_and(|live| live.number == number) {
            state.send(event);
        }
    }
}
