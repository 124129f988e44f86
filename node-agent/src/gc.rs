//! Chores: removals that take time, and looks that precede them, beside the top loop.
//!
//! What is decided here is only what nobody needs: sandboxes of tasks whose record is gone, volumes
//! of frameworks that are, layers that were not used for long, empty control groups of earlier
//! runs. The top loop decides again, with what it knows then, before a volume goes.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::node::{Node, blocking};
use crate::volumes;

/// Time between two collections of layers where the disk is not full.
const IMAGES_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// Frameworks that are looked up in one round.
const MAX_LOOKUPS: usize = 20;
/// The control group of shims, which is theirs.
const SHIMS_GROUP: &str = "shims";

/// What came of a chore.
pub(crate) enum Done {
    /// Nothing to decide.
    Nothing,
    /// The frameworks with these uids do not exist.
    GoneFrameworks(Vec<String>),
}

/// Chores under way; they end when this is dropped, except for a removal that has begun.
pub(crate) struct Chores {
    node: Arc<Node>,
    running: JoinSet<Done>,
    looking_for_volumes: bool,
    images_collected: Option<Instant>,
}

impl Chores {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node, running: JoinSet::new(), looking_for_volumes: false, images_collected: None }
    }

    /// The next chore that is done; `None` where none is under way.
    pub(crate) async fn next(&mut self) -> Option<Done> {
        match self.running.join_next().await? {
            Ok(done) => {
                if matches!(done, Done::GoneFrameworks(_)) {
                    self.looking_for_volumes = false;
                }
                Some(done)
            }
            Err(err) => {
                self.looking_for_volumes = false;
                tracing::error!(error = &err as &dyn std::error::Error, "a chore panicked");
                Some(Done::Nothing)
            }
        }
    }

    /// Removes a directory of the agent.
    pub(crate) fn discard(&mut self, path: PathBuf) {
        let node = Arc::clone(&self.node);
        self.running.spawn(async move {
            let shown = path.clone();
            let removed = blocking(move || node.directory.discard(&path)).await;
            if let Err(err) = removed {
                let error = &err as &dyn std::error::Error;
                // What is in `tmp` goes at the next start.
                tracing::warn!(error, path = %shown.display(), "not removed");
            }
            Done::Nothing
        });
    }

    /// Looks which of the frameworks that have volumes here, except those in `used`, are gone.
    pub(crate) fn look_for_volumes(&mut self, used: BTreeSet<String>) {
        if std::mem::replace(&mut self.looking_for_volumes, true) {
            return;
        }
        let node = Arc::clone(&self.node);
        self.running.spawn(async move {
            let unused = match node.volumes.unused(&used) {
                Ok(unused) => unused,
                Err(err) => {
                    let error = &err as &dyn std::error::Error;
                    tracing::warn!(error, "volumes cannot be listed");
                    Vec::new()
                }
            };
            let mut gone = Vec::new();
            for owner in unused.into_iter().take(MAX_LOOKUPS) {
                if volumes::is_gone(&node.client, &owner).await {
                    gone.push(owner.uid);
                }
            }
            Done::GoneFrameworks(gone)
        });
    }

    /// Removes the volumes of a framework.
    pub(crate) fn remove_volumes(&mut self, uid: &str) {
        match self.node.volumes.put_aside(uid) {
            Ok(aside) => {
                tracing::info!(framework_uid = uid, "volumes removed: their framework is gone");
                self.discard(aside);
            }
            Err(err) => {
                let error = &err as &dyn std::error::Error;
                tracing::warn!(error, framework_uid = uid, "volumes not removed");
            }
        }
    }

    /// Removes layers that nobody uses, if it is time or the disk is full.
    pub(crate) fn collect_images(&mut self, disk_is_full: bool) {
        let due = self.images_collected.is_none_or(|last| last.elapsed() > IMAGES_INTERVAL);
        if !due && !disk_is_full {
            return;
        }
        self.images_collected = Some(Instant::now());
        let node = Arc::clone(&self.node);
        self.running.spawn(async move {
            match node.images.collect(disk_is_full).await {
                Ok(0) => {}
                Ok(layers) => tracing::info!(layers, "unused layers removed"),
                Err(err) => {
                    let error = &err as &dyn std::error::Error;
                    tracing::warn!(error, "unused layers not removed");
                }
            }
            Done::Nothing
        });
    }

    /// Removes empty control groups that no run in `known` has; one that is populated is told of
    /// and left alone: nothing says that it should end.
    pub(crate) fn sweep_cgroups(&mut self, known: &BTreeSet<String>) {
        let (node, known) = (Arc::clone(&self.node), known.clone());
        self.running.spawn(async move {
            blocking(move || sweep(&node, &known)).await;
            Done::Nothing
        });
    }
}

fn sweep(node: &Node, known: &BTreeSet<String>) {
    let parent = node.cgroup_parent();
    for name in node.cgroups.children(&parent) {
        if name == SHIMS_GROUP || known.contains(&name) {
            continue;
        }
        let group = parent.join(&name);
        if node.cgroups.is_populated(&group) {
            tracing::warn!(name, "a container runs that this agent knows nothing of");
        } else if let Err(err) = node.cgroups.destroy(&group) {
            let error = &err as &dyn std::error::Error;
            tracing::warn!(error, name, "an empty control group is not removed");
        }
    }
}
