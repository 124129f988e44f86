//! Watches that keep the rows of one term up to date.
//!
//! Each lists, follows, and lists again when the server has forgotten its place. All start with the
//! term, so the first lists are at least as new as its lease.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource, ResourceExt as _};
use meseta_crds::{Agent, Framework, MESOS, SCHEDULER_LABEL, Task};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::rows::Rows;

/// Pause after the first failure of a watch; doubles with each further one.
const FIRST_RETRY: Duration = Duration::from_millis(100);
/// Longest pause between tries.
const LONGEST_RETRY: Duration = Duration::from_secs(5);

/// A kind whose records become rows.
trait Watched: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static {
    fn config() -> watcher::Config {
        watcher::Config::default().labels(&format!("{SCHEDULER_LABEL}={MESOS}"))
    }
    fn names(rows: &Rows) -> BTreeSet<String>;
    fn apply(self, rows: &Rows);
    fn remove(rows: &Rows, name: &str);
}

/// Watches until it is dropped; `synced` becomes true once everything was listed.
pub(super) async fn follow(
    client: kube::Client,
    namespace: &str,
    rows: &Rows,
    synced: &watch::Sender<bool>,
) {
    let (agents, mut agents_listed) = watch::channel(false);
    let (frameworks, mut frameworks_listed) = watch::channel(false);
    let (tasks, mut tasks_listed) = watch::channel(false);
    let all_listed = async {
        for listed in [&mut agents_listed, &mut frameworks_listed, &mut tasks_listed] {
            if listed.wait_for(|listed| *listed).await.is_err() {
                return;
            }
        }
        synced.send_replace(true);
    };
    tokio::join!(
        follow_kind::<Agent>(Api::all(client.clone()), rows, &agents),
        follow_kind::<Framework>(Api::namespaced(client.clone(), namespace), rows, &frameworks),
        follow_kind::<Task>(Api::namespaced(client, namespace), rows, &tasks),
        all_listed,
    );
}

async fn follow_kind<K: Watched>(api: Api<K>, rows: &Rows, listed: &watch::Sender<bool>) {
    let mut events = watcher(api, K::config()).boxed();
    let mut unseen = BTreeSet::new();
    let mut retry = FIRST_RETRY;
    loop {
        match events.try_next().await {
            Ok(Some(Event::Init)) => unseen = K::names(rows),
            Ok(Some(Event::InitApply(record))) => {
                unseen.remove(&record.name_any());
                record.apply(rows);
            }
            Ok(Some(Event::InitDone)) => {
                for name in std::mem::take(&mut unseen) {
                    K::remove(rows, &name);
                }
                retry = FIRST_RETRY;
                listed.send_replace(true);
            }
            Ok(Some(Event::Apply(record))) => {
                retry = FIRST_RETRY;
                record.apply(rows);
            }
            Ok(Some(Event::Delete(record))) => K::remove(rows, &record.name_any()),
            Ok(None) => return,
            Err(error) => {
                // Not a binding: it would be held while sleeping, and keep the future on its thread.
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    kind = &*K::kind(&()),
                    "watch failed"
                );
                tokio::time::sleep(retry).await;
                retry = (retry * 2).min(LONGEST_RETRY);
            }
        }
    }
}

impl Watched for Task {
    fn names(rows: &Rows) -> BTreeSet<String> {
        rows.task_names()
    }

    fn apply(self, rows: &Rows) {
        rows.apply_task(&self);
    }

    fn remove(rows: &Rows, name: &str) {
        rows.remove_task(name);
    }
}

impl Watched for Framework {
    fn names(rows: &Rows) -> BTreeSet<String> {
        rows.framework_names()
    }

    fn apply(self, rows: &Rows) {
        rows.apply_framework(self);
    }

    fn remove(rows: &Rows, name: &str) {
        rows.remove_framework(name);
    }
}

impl Watched for Agent {
    fn config() -> watcher::Config {
        watcher::Config::default()
    }

    fn names(rows: &Rows) -> BTreeSet<String> {
        rows.agent_names()
    }

    fn apply(self, rows: &Rows) {
        rows.apply_agent(&self);
    }

    fn remove(rows: &Rows, name: &str) {
        rows.remove_agent(name);
    }
}
