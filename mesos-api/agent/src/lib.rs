//! The Mesos executor API: executors written for Mesos as tasks of Meseta.
//!
//! An executor is a container of the agent like any other; what is special about it is that it
//! subscribes here and then runs the tasks it is given. This crate speaks its protocol and knows
//! what each executor was told; the agent owns everything else.
//!
//! ```text
//!             POST /api/v1/executor                     the agent (node-agent)
//!  executor ──────────────────────► http ─► session ──► Backend: hand_over, store, message
//!           ◄────────────────────── stream ◄─ (pure) ◄── Executors: expect, launch, kill, shutdown …
//!                     events                        └──► Standing, a watch: what became of it
//! ```
//!
//! # Who does what
//!
//! | | this crate | the agent |
//! |---|---|---|
//! | an executor's container | never touches it | starts it, sees its end, ends it when [`Standing`] says so |
//! | a launch | hands it over when the executor is subscribed, once | calls [`Executors::launch`] for every task it has accepted; a repeat changes nothing |
//! | before a launch goes out | asks [`Backend::hand_over`] | writes down that the task may be known to its executor |
//! | an update | checks it, completes it, asks [`Backend::store`], then answers 202 and sends ACKNOWLEDGED | has it on the disk, synced, when it says so; puts it into the record later |
//! | a kill | keeps it until the task is over, repeats it on a new subscription | calls [`Executors::kill`] again whenever it likes |
//! | updates nobody else makes (killed before it was handed over, lost, executor ended) | says which tasks | makes and stores them, and calls [`Executors::ended`] |
//! | deadlines | counts them, tells by [`Standing`] | chooses them, acts on them |
//!
//! # After a death of the agent
//!
//! Executors live on and subscribe again, so **the agent must listen at the address it told them**:
//! a port that was chosen by the kernel has to be kept. Until [`Executors::recovered`] is called
//! every call is answered with 503. Before it, from its disk alone, the agent
//! 1. calls [`Executors::expect`] for each executor whose container may run;
//! 2. calls [`Executors::launch`] or [`Executors::launch_group`] for each of its tasks that is not
//!    over, with [`Progress`] as it stands on the disk: handed over, or answered by a stored update;
//! 3. calls [`Executors::remember`] for each of its tasks that is over, the latest last, so that the
//!    executor hears that what it says again was taken;
//! 4. repeats [`Executors::shutdown`] for those that are ending, before or after.
//!
//! When the executor subscribes, its updates that were not acknowledged are stored (known ones are
//! only acknowledged), what was never handed over is launched, and what was handed over but the
//! executor does not list and never answered is reported in [`Standing::lost`]: it was on its way
//! when the agent died, and is never launched again.
//!
//! # Who may call
//!
//! Only peers on this machine are served: those with a loopback address, or with the one that the
//! agent listens at; where it listens at all addresses, loopback alone. Beyond that an executor is
//! believed who it says it is: Mesos' token (`MESOS_EXECUTOR_AUTHENTICATION_TOKEN`, sent as `Bearer`) cannot
//! be asked for, because `pymesos` 0.3.15 does not send it. So a program on this machine, of
//! whatever container with the machine's network, that knows the ids of a framework and its executor
//! can take that executor's subscription over, see the tasks it is given from then on, and send
//! updates and messages in its name. It cannot learn ids here, touch other machines, start or end a
//! container, or reach tasks without an executor.
//!
//! **Invariants**
//! - A task is handed over at most once, and not at all unless that it may be was written before.
//! - 202 to an UPDATE, and its ACKNOWLEDGED, mean that it is stored; a terminal update is the last.
//! - After SHUTDOWN an executor gets nothing but ACKNOWLEDGED, for its last updates.
//! - One stream per executor: the newest.
//! - What an executor does not read waits within named limits, and nobody else waits for it.

mod backend;
mod call;
pub mod container;
mod endpoint;
pub mod environment;
mod event;
mod executors;
mod server;
mod session;
mod stream;
mod update;

use std::time::Duration;

pub use backend::{
    Backend, ExecutorFacts, Killed, Launch, Progress, Refused, Standing, Stored, Undelivered,
};
pub use executors::{Executors, Occupied};
pub use server::serve;

/// Time an executor has to subscribe after its container was started; as in Mesos.
pub const REGISTRATION_TIMEOUT: Duration = Duration::from_secs(60);
