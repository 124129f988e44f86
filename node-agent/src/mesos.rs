//! Tasks that came through the Mesos API: what their schedulers are told, and what executors run.
//!
//! ```text
//!  command task     a container: its updates follow from what is written to its record   [`updates`]
//!  executor         a container that subscribes at the executor API (`meseta-mesos-agent`)
//!  task inside it   no container: [`owner`] gives it to the executor; the executor's updates are
//!                   kept in its [`journal`] and written to its record from there
//! ```
//!
//! [`Mesos`] is what an agent has of this: the executor API, and the [`registry`] of who takes part.
//!
//! # After a death of the agent
//!
//! What was found on the disk is registered first; then [`Mesos::recover`] tells the executor API which
//! tasks executors may know, and only then executors are served again. Owners of tasks inside
//! executors wait for that.

mod address;
mod agent_info;
pub(crate) mod backend;
pub(crate) mod executor;
mod groups;
mod inner;
pub(crate) mod journal;
pub(crate) mod messages;
pub(crate) mod owner;
mod recovery;
pub(crate) mod registry;
mod room;
pub(crate) mod status;
pub(crate) mod updates;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use meseta_crds::task::{MesosTask, reason};
use meseta_mesos_agent::{
    ExecutorFacts, Executors, Launch, Progress, REGISTRATION_TIMEOUT, environment,
};
use meseta_mesos_wire::{json, v1};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::cgroup::Cgroups;
use crate::checkpoint::{Accepted, Outcome};
use crate::directory::Directory;
use crate::fingerprint::Fingerprint;
use crate::task::request::{self, SANDBOX_MOUNT};
use agent_info::agent_info;
use backend::Disk;
use executor::Executor;
use inner::Early;
use journal::Journal;
use registry::{ExecutorHold, Inner, InnerHold, Registry};
use room::Room;

/// Pause between two looks whether an older executor of the same ids is gone.
const OCCUPIED_INTERVAL: Duration = Duration::from_millis(200);

/// What an agent has for Mesos' tasks.
pub(crate) struct Mesos {
    pub(crate) registry: Arc<Registry>,
    directory: Arc<Directory>,
    served: Option<Served>,
    /// Where others reach this machine's containers.
    pub(crate) ip: Option<IpAddr>,
    /// Whether executors may be spoken to.
    recovered: watch::Sender<bool>,
}

struct Served {
    executors: Executors,
    endpoint: SocketAddr,
    agent: String,
}

/// Why a task cannot be held.
#[derive(Debug)]
pub(crate) enum HoldError {
    /// The agent's disk refused.
    Io(io::Error),
    /// What the scheduler sent is not what Mesos' messages are.
    Invalid(String),
}

impl Mesos {
    /// Listens for executors at `listen`, if anywhere: at the port of before, where the kernel is to
    /// choose one. `ip` is where others reach this machine's containers, `fingerprint` what executors
    /// are told of it.
    ///
    /// # Errors
    /// The address is in use, or the file system refused.
    pub(crate) async fn open(
        agent: &str,
        listen: Option<SocketAddr>,
        ip: Option<IpAddr>,
        fingerprint: &Fingerprint,
        directory: &Arc<Directory>,
        cgroups: &Cgroups,
    ) -> io::Result<(Self, Option<TcpListener>)> {
        let registry = Arc::new(Registry::new(cgroups.clone()));
        let (mut served, mut listener) = (None, None);
        if let Some(address) = listen {
            let bound = address::bind(address, directory).await?;
            let endpoint = address::reached_at(bound.local_addr()?);
            let backend =
                Disk { registry: Arc::clone(&registry), directory: Arc::clone(directory) };
            let info = agent_info(agent, address::hostname()?, endpoint.port(), fingerprint);
            let executors = Executors::new(info, ip, Arc::new(backend));
            served = Some(Served { executors, endpoint, agent: agent.to_owned() });
            listener = Some(bound);
        }
        let directory = Arc::clone(directory);
        let recovered = watch::Sender::new(false);
        Ok((Self { registry, directory, served, ip, recovered }, listener))
    }

    /// The executor API, if the agent has one.
    pub(crate) fn executors(&self) -> Option<&Executors> {
        self.served.as_ref().map(|served| &served.executors)
    }

    /// What Mesos adds to the environment of a container.
    pub(crate) fn environment(&self, accepted: &Accepted) -> Vec<(String, String)> {
        let (Some(mesos), Some(agent)) = (&accepted.spec.mesos, &accepted.spec.agent_name) else {
            return Vec::new();
        };
        let executor_id = mesos.executor_id.as_ref().or(mesos.task_id.as_ref());
        let identity = environment::Identity {
            framework_id: &mesos.framework_id,
            executor_id: executor_id.map_or("", String::as_str),
            agent_id: agent,
            // The machine's path would lead nowhere in the container.
            directory: SANDBOX_MOUNT,
            sandbox: SANDBOX_MOUNT,
        };
        let framework = mesos.framework_info.as_ref();
        let checkpoint = framework.and_then(|info| info.get("checkpoint")?.as_bool());
        let service = environment::Service {
            endpoint: self.served.as_ref().map(|served| served.endpoint),
            checkpoint: checkpoint.unwrap_or(false),
            shutdown_grace: Duration::from_millis(
                u64::try_from(accepted.grace_millis()).unwrap_or(0),
            ),
        };
        let role = &accepted.spec.role;
        match (&accepted.spec.executor, &mesos.executor_id) {
            (Some(_), _) => environment::executor(&identity, &service),
            (None, Some(_)) => environment::group_task(&identity, role, self.ip),
            (None, None) => environment::command_task(&identity, &service, role),
        }
    }

    /// Registers an executor that has, or gets, a container.
    pub(crate) fn hold_executor(&self, accepted: &Accepted) -> ExecutorHold {
        let mesos = accepted.spec.mesos.as_ref();
        let capabilities = mesos.and_then(status::capabilities).unwrap_or_default();
        let limits = request::limits(&accepted.spec).unwrap_or_default();
        let (uid, name) = (accepted.uid.clone(), accepted.name.clone());
        let info = mesos.map(executor_info).unwrap_or_default();
        self.registry.add_executor(Executor::new(uid, name, info, capabilities, limits))
    }

    /// Registers a task inside an executor, with what is on the disk of it.
    ///
    /// # Errors
    /// See [`HoldError`].
    pub(crate) fn hold_task(&self, accepted: &Accepted) -> Result<InnerHold, HoldError> {
        let mesos = accepted.spec.mesos.clone().unwrap_or_default();
        let room = Room::beside(&accepted.spec);
        let journal = Journal::open(&self.directory.task(&accepted.uid), room);
        let journal = journal.map_err(HoldError::Io)?;
        let executor = accepted.executor_uid.clone().unwrap_or_default();
        let sent = mesos.task_info.as_ref();
        let sent = sent.ok_or_else(|| HoldError::Invalid("it has no `taskInfo`".to_owned()))?;
        let info: v1::TaskInfo = json::from_value(sent)
            .map_err(|err| HoldError::Invalid(format!("its `taskInfo` is none: {err}")))?;
        let group = mesos.group.map(|group| (group.id, group.index, group.size));
        let limits = request::limits(&accepted.spec).unwrap_or_default();
        let uid = accepted.uid.clone();
        Ok(self.registry.add_task(Inner::new(uid, executor, info, group, limits, journal)))
    }

    /// A task that was placed here will not be run: its group will not be complete, and if it was
    /// killed its executor may have nothing to do.
    pub(crate) fn never_comes(&self, accepted: &Accepted, why: &str) {
        let (Some(mesos), Some(executor)) = (&accepted.spec.mesos, &accepted.executor_uid) else {
            return;
        };
        let killed = [reason::KILLED_BY_SCHEDULER, reason::DELETED].contains(&why);
        if let Some(group) = &mesos.group {
            let early = if killed { Early::Killed } else { Early::GroupBroken };
            let key = (executor.clone(), group.id.clone());
            self.registry.break_group(&key, &early);
            self.registry.leave_group(&key, group.size, group.index);
        }
        let info = mesos.task_info.as_ref().and_then(|info| json::from_value(info).ok());
        if let (true, Some(task)) = (killed, info)
            && let Some(executor) = self.registry.executor(executor)
        {
            let (uid, progress) = (accepted.uid.clone(), Progress::New);
            executor.killed_early(Launch { uid, task, progress });
        }
    }

    /// Lets an executor subscribe, once an older one of the same ids is gone. Before its container is
    /// started, or after it was found.
    ///
    /// Dropping the future changes nothing that a repeat does not.
    pub(crate) async fn expect(&self, accepted: &Accepted) {
        while !self.try_expect(accepted, REGISTRATION_TIMEOUT) {
            tokio::time::sleep(OCCUPIED_INTERVAL).await;
        }
    }

    /// Lets an executor subscribe; false where an older one of the same ids is not gone.
    pub(crate) fn try_expect(&self, accepted: &Accepted, subscribe_within: Duration) -> bool {
        let (Some(served), Some(executor)) = (&self.served, self.registry.executor(&accepted.uid))
        else {
            return true;
        };
        match served.executors.expect(facts(accepted, subscribe_within)) {
            Ok(standing) => {
                for early in executor.expected(standing) {
                    // It has not subscribed: what is launched here is never sent, and the executor
                    // API sees that it was killed.
                    let uid = early.uid.clone();
                    if served.executors.launch(&executor.uid, early).is_ok() {
                        served.executors.kill(&executor.uid, &uid, None, 0);
                        served.executors.ended(&executor.uid, &uid);
                    }
                }
                self.registry.notify_tasks_of(&executor.uid);
                true
            }
            Err(occupied) => {
                tracing::debug!(uid = accepted.uid, older = occupied.uid, "executor id in use");
                false
            }
        }
    }

    /// Has an executor told to end itself.
    pub(crate) fn shut_down(&self, executor: &Executor, grace: Duration) {
        if let Some(served) = &self.served {
            tracing::info!(executor = executor.name, ?grace, agent = served.agent, "shutdown");
            served.executors.shutdown(&executor.uid, grace);
        }
    }

    /// The container of an executor has ended: its tasks end for that.
    pub(crate) fn executor_ended(&self, executor: &Executor, outcome: &Outcome) {
        executor.fate.send_replace(Some(outcome.clone()));
        if let Some(served) = &self.served {
            served.executors.forget(&executor.uid);
        }
        self.registry.notify_tasks_of(&executor.uid);
    }
}

/// What the executor API has to know of an executor.
fn facts(accepted: &Accepted, subscribe_within: Duration) -> ExecutorFacts {
    let mesos = accepted.spec.mesos.clone().unwrap_or_default();
    let executor_info = executor_info(&mesos);
    let framework_info = mesos.framework_info.as_ref().map(json::from_value);
    let mut framework_info: v1::FrameworkInfo =
        framework_info.and_then(Result::ok).unwrap_or_default();
    framework_info.id = Some(v1::FrameworkId { value: mesos.framework_id.clone() });
    ExecutorFacts {
        uid: accepted.uid.clone(),
        framework_id: mesos.framework_id,
        executor_id: executor_info.executor_id.value.clone(),
        executor_info,
        framework_info,
        subscribe_within,
    }
}

/// The executor as its scheduler sent it, with its ids.
fn executor_info(mesos: &MesosTask) -> v1::ExecutorInfo {
    let sent = mesos.executor_info.as_ref().map(json::from_value);
    let mut info: v1::ExecutorInfo = sent.and_then(Result::ok).unwrap_or_default();
    info.executor_id.value = mesos.executor_id.clone().unwrap_or_default();
    info.framework_id = Some(v1::FrameworkId { value: mesos.framework_id.clone() });
    info
}
