//! What the market offers, on its way to the scheduler.

use meseta_mesos_wire::v1;
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
                let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
                for live in offers {
                    let agent = self.facts(&live.agent);
                    if offer::is_wanted(&record.info, &live.role, &live.resources, &agent) {
                        wanted.push(self.shown(&live, &agent, &record));
                    } else {
                        unwanted.push(live.id);
                    }
                }
                if !wanted.is_empty() {
                    self.send_to(number, &events::offers(wanted));
                }
                if !unwanted.is_empty() {
                    let market = &self.office.term.market;
                    market.decline(&record.uid, unwanted, MAX_FILTER).await.ok();
                }
            }
            Notice::Rescinded(ids) => {
                for id in ids {
                    self.send_to(number, &events::rescind(id));
                }
            }
        }
    }

    fn facts(&self, agent: &str) -> AgentFacts {
        self.office.rows.agent(agent).map_or_else(
            // The market's watch may be ahead.
            || AgentFacts {
                name: agent.to_owned(),
                hostname: agent.to_owned(),
                ..AgentFacts::default()
            },
            |row| row.facts.clone(),
        )
    }

    fn shown(&self, live: &LiveOffer, agent: &AgentFacts, record: &Record) -> v1::Offer {
        let rows = &self.office.rows;
        let executors = rows.with_tasks(&record.uid, |rows| rows.executors_on(&live.agent));
        let offered = Offered { id: &live.id, role: &live.role, resources: &live.resources };
        offer::offer(offered, agent, &self.framework_id, record.capabilities, executors)
    }

    fn send_to(&self, number: u64, event: &v1::scheduler::Event) {
        let state = self.lock();
        if state.live.as_ref().is_some_and(|live| live.number == number) {
            state.send(event);
        }
    }
}
