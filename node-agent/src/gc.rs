//! Chores: removals that take time, beside the top loop.
//!
//! What is decided here is only what nobody needs: sandboxes of tasks whose record is gone, volumes
//! of frameworks that are, layers that were not used for long, empty control groups of earlier
//! runs.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::node::{Node, blocking};

/// Time between two collections of layers where the disk is not full.
const IMAGES_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// The control group of shims, which is theirs.
const SHIMS_GROUP: &str = "shims";

/// Chores under way; they end when this is dropped, except for a removal that has begun.
pub(crate) struct Chores {
    node: Arc<Node>,
    running: JoinSet<()>,
    images_collected: Option<Instant>,
}

impl Chores {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node, running: JoinSet::new(), images_collected: None }
    }

    /// Waits for the end of a chore; `None` where none is under way.
    pub(crate) async fn next(&mut self) -> Option<()> {
        if let Err(err) = self.running.join_next().await? {
            tracing::error!(error = &err as &dyn std::error::Error, "a chore panicked");
        }
        Some(())
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
        });
    }

    /// Removes the volumes of frameworks that are gone, which those in `used` are not.
    pub(crate) fn collect_volumes(&mut self, used: &BTreeSet<String>) {
        match self.node.volumes.collect(used, Instant::now()) {
            Ok(aside) => {
                for path in aside {
                    self.discard(path);
                }
            }
            Err(err) => {
                let error = &err as &dyn std::error::Error;
                tracing::warn!(error, "volumes not removed");
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
        });
    }

    /// Removes empty control groups that no run in `known` has; one that is populated is told of
    /// and left alone: nothing says that it should end.
    pub(crate) fn sweep_cgroups(&mut self, known: &BTreeSet<String>) {
        let (node, known) = (Arc::clone(&self.node), known.clone());
        self.running.spawn(async move {
            blocking(move || sweep(&node, &known)).await;
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
