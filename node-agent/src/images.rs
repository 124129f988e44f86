//! Images: from an OCI layout on this machine to unpacked layers that an overlay joins.
//!
//! ```text
//!  oci:/path/to/layout:tag
//!    index.json ─► manifest ─► config ──► entrypoint, env, user, …
//!                     │          └ diff ids
//!                     ▼
//!                   layers ─► verified, unpacked ─► snapshots/<chain id>/   (one per layer)
//! ```
//!
//! Nothing of an image is believed: every blob is compared with its digest and size, each layer with
//! its diff id too, while it is unpacked; names and links in layers are treated as hostile
//! ([`unpack`]); what an image may weigh is bounded ([`Limits`]).
//!
//! A snapshot has the name of its chain id, so equal layers on equal layers are unpacked once. It is
//! made aside and renamed, synced before, and never changed. Layouts are read where they are.
//!
//! **Invariant:** a snapshot that has its name is complete and was verified.

mod account;
mod entries;
mod layer;
mod layout;
mod reference;
mod snapshots;
mod unpack;
mod upper;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

pub(crate) use account::{Account, account};
pub(crate) use layer::Limits;
pub(crate) use layout::ImageConfig;
pub(crate) use snapshots::{Pin, Snapshots};
pub(crate) use upper::prepare_upper;

use crate::directory::Directory;
use crate::node::blocking;
use reference::Reference;

/// Why an image cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is no such image.
    #[error("image `{image}`: {why}")]
    NotFound {
        /// As the task has it.
        image: String,
        /// What is missing.
        why: String,
    },
    /// Something of it is not what its digest says, or cannot be unpacked.
    #[error("image `{image}`: {what}: {why}")]
    Corrupt {
        /// As the task has it.
        image: String,
        /// The blob or file.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// The user that the program is to run as is none of the image's.
    #[error("user `{user}`: {why}")]
    Account {
        /// As task or image have it.
        user: String,
        /// What is wrong with it.
        why: String,
    },
    /// The agent's own disk refused.
    #[error("cannot unpack {what}")]
    Io {
        /// What was being done.
        what: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// An image that is ready to be mounted.
pub(crate) struct Image {
    /// What its config says.
    pub(crate) config: ImageConfig,
    /// Its layers, top to bottom.
    pub(crate) layers: Vec<PathBuf>,
    /// Keeps the layers.
    pub(crate) pin: Pin,
}

/// The images of an agent.
pub(crate) struct Images {
    snapshots: Arc<Snapshots>,
    limits: Limits,
}

impl Images {
    pub(crate) fn new(directory: Arc<Directory>) -> Self {
        Self { snapshots: Arc::new(Snapshots::new(directory)), limits: Limits::default() }
    }

    /// Reads, verifies and unpacks an image, as far as that was not done before.
    ///
    /// Dropping the future lets the layer under way be finished, and no more.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) async fn prepare(&self, image: &str) -> Result<Image, Error> {
        let reference = Reference::parse(image)?;
        let found = blocking(move || layout::read(&reference)).await?;
        let found = Arc::new(found);
        let mut layers = Vec::new();
        // Held from here on: nobody collects a layer while the next one is unpacked.
        let pin = self.snapshots.pin_chains(&found.chain_ids());
        for index in 0..found.layers.len() {
            let path = self.snapshots.ensure(&found, index, layers.clone(), self.limits).await?;
            layers.insert(0, path);
        }
        Ok(Image { config: found.config.clone(), layers, pin })
    }

    /// Keeps layers that a running container uses.
    pub(crate) fn pin(&self, layers: &[PathBuf]) -> Pin {
        self.snapshots.pin_paths(layers)
    }

    /// Removes layers that nobody uses: those unused for long, or all where the disk is full. How
    /// many.
    ///
    /// # Errors
    /// The file system refused.
    pub(crate) async fn collect(&self, disk_is_full: bool) -> io::Result<usize> {
        let snapshots = Arc::clone(&self.snapshots);
        blocking(move || snapshots.collect(disk_is_full)).await
    }
}

#[cfg(test)]
mod tests;
