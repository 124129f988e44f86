//! One cluster for many tests.
//!
//! Tests that only create records and tasks of their own share a cluster of their store: it is
//! started by the first that needs it, and ended with the last that still uses it. Each gets a
//! namespace of its own.

use std::ops::Deref;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;

use anyhow::Result;
use serde_json::json;

use crate::client::Client;
use crate::cluster::{Cluster, Layout, StoreKind};

/// A namespace in a shared cluster with one agent; in use it is a [`Client`] for it.
pub struct Space {
    cluster: Arc<Cluster>,
    client: Client,
}

impl Space {
    /// Joins the cluster of `store`, or starts it.
    ///
    /// # Errors
    /// It does not start, or does not give a namespace.
    pub fn new(store: StoreKind) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let cluster = join(store)?;
        let namespace = format!("test-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let client = cluster.client().in_namespace(&namespace);
        client.apply(&json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace},
        }))?;
        Ok(Self { cluster, client })
    }

    /// The cluster it lies in.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }
}

impl Deref for Space {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        if thread::panicking() {
            self.cluster.print_output();
        }
    }
}

fn join(store: StoreKind) -> Result<Arc<Cluster>> {
    static EMBEDDED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
    static ETCD: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
    let shared = match store {
        StoreKind::Embedded => &EMBEDDED,
        StoreKind::Etcd => &ETCD,
    };
    // Held while it starts: the others wait for it rather than start another.
    let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(cluster) = shared.upgrade() {
        return Ok(cluster);
    }
    let cluster = Arc::new(Layout::new(store).agent(&[]).start()?);
    *shared = Arc::downgrade(&cluster);
    Ok(cluster)
}
