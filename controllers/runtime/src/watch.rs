//! Watches that keep the rows up to date, for leader and follower alike.
//!
//! Each watch lists, follows, and lists again when the server has forgotten its place. On becoming
//! leader all of them list once more ([`Resync`]): such a list is at least as new as the lease, so the
//! allocator knows every placement of its predecessor before it makes its first. Followers' rows stay
//! where they are meanwhile; the new list is compared with them.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::coordination::v1::Lease;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource, ResourceExt as _};
use meseta_crds::{Agent, Framework, FrameworkRole, SYSTEM_NAMESPACE, Task, agent_lease_name};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, Key};

/// Pause after the first failure of a watch; doubles with each further one.
const FIRST_RETRY: Duration = Duration::from_millis(100);
/// Longest pause between tries.
const LONGEST_RETRY: Duration = Duration::from_secs(5);

/// A kind whose records become rows.
trait Watched: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static {
    /// The keys of all rows.
    fn keys(cluster: &Cluster) -> BTreeSet<Key>;
    /// Takes in a record.
    fn apply(self, cluster: &Cluster);
    /// Takes out a row.
    fn remove(cluster: &Cluster, key: &Key);
}

/// Asks the watches to list again and tells when they have.
#[derive(Clone)]
pub(crate) struct Resync {
    wanted: watch::Sender<u64>,
    done: Vec<watch::Receiver<u64>>,
}

impl Resync {
    /// Waits until every watch has listed everything anew since this call.
    pub(crate) async fn run(&mut self) {
        let mut wanted = 0;
        self.wanted.send_modify(|counter| {
            *counter += 1;
            wanted = *counter;
        });
        for done in &mut self.done {
            if done.wait_for(|done| *done >= wanted).await.is_err() {
                // The watch is gone: at shutdown, or for a bug. Nobody may decide without it.
                tracing::error!("a watch has ended; this control plane does not lead");
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Starts all watches; they end at shutdown.
pub(crate) fn start(client: &Client, cluster: &Arc<Cluster>, stop: &CancellationToken) -> Resync {
    let (wanted, _) = watch::channel(0);
    let mut resync = Resync { wanted, done: Vec::new() };
    // Agents before tasks where the order is ours: a task should not be seen before its agent.
    spawn::<Agent>(Api::all(client.clone()), cluster, stop, &mut resync);
    spawn::<FrameworkRole>(Api::all(client.clone()), cluster, stop, &mut resync);
    spawn::<Lease>(Api::namespaced(client.clone(), SYSTEM_NAMESPACE), cluster, stop, &mut resync);
    spawn::<Task>(Api::all(client.clone()), cluster, stop, &mut resync);
    spawn::<Framework>(Api::all(client.clone()), cluster, stop, &mut resync);
    resync
}

fn spawn<K: Watched>(
    api: Api<K>,
    cluster: &Arc<Cluster>,
    stop: &CancellationToken,
    resync: &mut Resync,
) {
    let (done, done_receiver) = watch::channel(0);
    resync.done.push(done_receiver);
    let wanted = resync.wanted.subscribe();
    let (cluster, stop) = (cluster.clone(), stop.clone());
    tokio::spawn(async move {
        stop.run_until_cancelled(follow(api, &cluster, wanted, done)).await;
    });
}

async fn follow<K: Watched>(
    api: Api<K>,
    cluster: &Cluster,
    mut wanted: watch::Receiver<u64>,
    done: watch::Sender<u64>,
) {
    loop {
        let round = *wanted.borrow_and_update();
        let mut events = watcher(api.clone(), watcher::Config::default()).boxed();
        let mut unseen = BTreeSet::new();
        let mut retry = FIRST_RETRY;
        loop {
            let event = tokio::select! {
                biased;
                event = events.try_next() => event,
                changed = wanted.changed() => match changed {
                    Ok(()) => break,
                    // Nobody will ask again; go on for those who look at the rows.
                    Err(_) => events.try_next().await,
                },
            };
            match event {
                Ok(Some(Event::Init)) => unseen = K::keys(cluster),
                Ok(Some(Event::InitApply(record))) => {
                    unseen.remove(&Key::of(&record));
                    record.apply(cluster);
                }
                Ok(Some(Event::InitDone)) => {
                    for key in std::mem::take(&mut unseen) {
                        K::remove(cluster, &key);
                    }
                    retry = FIRST_RETRY;
                    done.send_replace(round);
                }
                Ok(Some(Event::Apply(record))) => {
                    retry = FIRST_RETRY;
                    record.apply(cluster);
                }
                Ok(Some(Event::Delete(record))) => K::remove(cluster, &Key::of(&record)),
                Ok(None) => break,
                Err(err) => {
                    let kind = K::kind(&());
                    tracing::warn!(
                        error = &err as &dyn std::error::Error,
                        kind = kind.as_ref(),
                        "watch failed"
                    );
                    tokio::time::sleep(retry).await;
                    retry = (retry * 2).min(LONGEST_RETRY);
                }
            }
        }
    }
}

impl Watched for Task {
    fn keys(cluster: &Cluster) -> BTreeSet<Key> {
        cluster.lock().tasks.keys().cloned().collect()
    }

    fn apply(self, cluster: &Cluster) {
        cluster.apply_task(&self, false);
    }

    fn remove(cluster: &Cluster, key: &Key) {
        cluster.remove_task(key, None);
    }
}

impl Watched for Framework {
    fn keys(cluster: &Cluster) -> BTreeSet<Key> {
        cluster.lock().frameworks.keys().cloned().collect()
    }

    fn apply(self, cluster: &Cluster) {
        cluster.apply_framework(self, false);
    }

    fn remove(cluster: &Cluster, key: &Key) {
        cluster.remove_framework(key);
    }
}

impl Watched for Agent {
    fn keys(cluster: &Cluster) -> BTreeSet<Key> {
        cluster.lock().agents.keys().map(|name| cluster_scoped(name)).collect()
    }

    fn apply(self, cluster: &Cluster) {
        cluster.apply_agent(&self);
    }

    fn remove(cluster: &Cluster, key: &Key) {
        cluster.remove_agent(&key.name);
    }
}

impl Watched for FrameworkRole {
    fn keys(cluster: &Cluster) -> BTreeSet<Key> {
        cluster.lock().roles.keys().map(|name| cluster_scoped(name)).collect()
    }

    fn apply(self, cluster: &Cluster) {
        cluster.apply_role(&self);
    }

    fn remove(cluster: &Cluster, key: &Key) {
        cluster.remove_role(&key.name);
    }
}

/// Heartbeats: a lease that vanishes is no sign of life, and nothing more.
impl Watched for Lease {
    fn keys(_: &Cluster) -> BTreeSet<Key> {
        BTreeSet::new()
    }

    fn apply(self, cluster: &Cluster) {
        let name = self.name_any();
        if let Some(agent) = name.strip_prefix(&agent_lease_name("")) {
            cluster.apply_heartbeat(agent, self.metadata.resource_version.unwrap_or_default());
        }
    }

    fn remove(_: &Cluster, _: &Key) {}
}

fn cluster_scoped(name: &str) -> Key {
    Key { namespace: String::new(), name: name.to_owned() }
}
