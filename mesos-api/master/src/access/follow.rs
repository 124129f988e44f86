//! The watch on the Secret with the credentials.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use meseta_crds::SYSTEM_NAMESPACE;
use tokio::sync::watch;

use super::{Access, CREDENTIALS, Known, digest};

/// Pause after a failure of the watch.
const RETRY: Duration = Duration::from_secs(1);

/// The gate, and what keeps it up to date; that future never ends.
pub(crate) fn follow(client: Client) -> (Access, impl Future<Output = ()> + Send) {
    let (sender, known) = watch::channel(Known::default());
    (Access { known }, run(client, sender))
}

async fn run(client: Client, known: watch::Sender<Known>) {
    let secrets: Api<Secret> = Api::namespaced(client, SYSTEM_NAMESPACE);
    let only = watcher::Config::default().fields(&format!("metadata.name={CREDENTIALS}"));
    let mut events = watcher(secrets, only).boxed();
    let mut listed = None;
    loop {
        match events.try_next().await {
            Ok(Some(Event::Init)) => listed = None,
            Ok(Some(Event::InitApply(secret))) => listed = Some(secret),
            Ok(Some(Event::InitDone)) => {
                known.send_replace(listed.take().map_or(Known::Absent, |secret| read(&secret)));
            }
            Ok(Some(Event::Apply(secret))) => {
                known.send_replace(read(&secret));
            }
            Ok(Some(Event::Delete(_))) => {
                known.send_replace(Known::Absent);
            }
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the Mesos credentials are not watched"
                );
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

fn read(secret: &Secret) -> Known {
    let data = secret.data.iter().flatten();
    let secrets: BTreeMap<String, [u8; 32]> =
        data.map(|(principal, secret)| (principal.clone(), digest(&secret.0))).collect();
    tracing::info!(principals = secrets.len(), "Mesos credentials read");
    Known::Present(Arc::new(secrets))
}
