//! Many agents in one process.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::Client;
use meseta_crds::{Quantity, ResourceList};
use meseta_planning::framework::short_hash;
use tokio::task::JoinSet;

use crate::agent::{self, Agent};
use crate::ledger::Ledger;

/// Shortest time between two renewals of one agent's lease.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Renewals per second that a control plane is asked to bear (design, section 7).
const RENEWALS_PER_SECOND: u32 = 500;

/// What the agents are like and how long their tasks run.
#[derive(Clone, Debug)]
pub struct Config {
    /// Number of agents.
    pub agents: u32,
    /// Beginning of their names; a number follows.
    pub prefix: String,
    /// What each of them has.
    pub capacity: ResourceList,
    /// Attributes of each.
    pub attributes: BTreeMap<String, String>,
    /// Shortest and longest time a task runs.
    pub run_time: (Duration, Duration),
    /// Decides, with a task's name, how long it runs.
    pub seed: u64,
}

impl Config {
    /// So many agents of 16 cpus and 64 GiB, whose tasks end at once.
    #[must_use]
    pub fn new(agents: u32) -> Self {
        let amounts = [
            ("cpu", Quantity::from_millis(16_000)),
            ("memory", Quantity::from_bytes(64 << 30)),
            ("disk", Quantity::from_bytes(256 << 30)),
        ];
        Self {
            agents,
            prefix: "sim".to_owned(),
            capacity: amounts.map(|(name, amount)| (name.to_owned(), amount)).into(),
            attributes: BTreeMap::from([("os".to_owned(), "linux".to_owned())]),
            run_time: (Duration::ZERO, Duration::ZERO),
            seed: 0,
        }
    }

    /// Name of the agent `number`.
    #[must_use]
    pub fn name(&self, number: u32) -> String {
        format!("{}-{number:05}", self.prefix)
    }

    /// When an agent renews its lease first, and how often from then on: never all at once.
    pub(crate) fn heartbeats(&self, agent: &str) -> (Duration, Duration) {
        let period = HEARTBEAT.max(Duration::from_secs(1) * self.agents / RENEWALS_PER_SECOND);
        (self.spread(agent, period), period)
    }

    /// How long the task runs.
    pub(crate) fn run_time_of(&self, namespace: &str, name: &str) -> Duration {
        let (shortest, longest) = self.run_time;
        shortest + self.spread(&format!("{namespace}/{name}"), longest.saturating_sub(shortest))
    }

    /// Something below `range` that depends on the seed and on `what`.
    fn spread(&self, what: &str, range: Duration) -> Duration {
        let hash = short_hash(format!("{} {what}", self.seed).as_bytes());
        let hash = u64::from_str_radix(&hash, 16).unwrap_or_default();
        let micros = u64::try_from(range.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(hash % micros.max(1))
    }
}

/// Running agents. Dropping it ends them as a power cut would: nothing more is written.
#[derive(Debug)]
pub struct Fleet {
    ledger: Ledger,
    agents: JoinSet<()>,
}

impl Fleet {
    /// Registers the agents, a few at a time, and lets them run on the current runtime. `client`
    /// gives the agent of a name its connection.
    ///
    /// # Errors
    /// An agent that could not be registered.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn start(
        config: Config,
        mut client: impl FnMut(&str) -> Client,
    ) -> Result<Self, kube::Error> {
        /// Agents that register at the same time.
        const REGISTERING: usize = 64;
        let ledger = Ledger::default();
        let mut agents = JoinSet::new();
        let numbers: Vec<u32> = (0..config.agents).collect();
        for some in numbers.chunks(REGISTERING) {
            let registering = some.iter().map(|number| {
                let name = config.name(*number);
                let client = client(&name);
                Agent::register(client, name, config.clone(), ledger.clone())
            });
            for agent in futures::future::try_join_all(registering).await? {
                agents.spawn(agent::run(agent));
            }
        }
        Ok(Self { ledger, agents })
    }

    /// What they have done.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Number of agents that run.
    #[must_use]
    pub fn len(&self) -> usize {
        self.agents.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.agents.is_empty()
    }
}
