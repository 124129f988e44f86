//! The records of frameworks, kept whole: there are few.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use kube::ResourceExt as _;
use meseta_crds::Framework;

use super::{OWN_WRITE_AHEAD, Rows, follows};

impl Rows {
    /// All frameworks.
    pub(crate) fn frameworks(&self) -> Vec<Arc<Framework>> {
        self.lock().frameworks.values().cloned().collect()
    }

    /// The framework of this name.
    pub(crate) fn framework(&self, name: &str) -> Option<Arc<Framework>> {
        self.lock().frameworks.get(name).cloned()
    }

    pub(in crate::sync) fn framework_names(&self) -> BTreeSet<String> {
        let state = self.lock();
        let ahead = |name: &String| {
            let written = state.frameworks_written.get(name);
            written.is_some_and(|when| when.elapsed() <= OWN_WRITE_AHEAD)
        };
        state.frameworks.keys().filter(|name| !ahead(name)).cloned().collect()
    }

    /// A framework as a watch shows it.
    pub(in crate::sync) fn apply_framework(&self, framework: Framework) {
        self.put_framework(framework, None);
    }

    /// A framework as the answer to an own write shows it.
    pub(crate) fn wrote_framework(&self, framework: Framework) {
        self.put_framework(framework, Some(Instant::now()));
    }

    fn put_framework(&self, framework: Framework, written: Option<Instant>) {
        if framework.spec.scheduler.is_none() {
            return;
        }
        let (name, uid) = (framework.name_any(), framework.uid().unwrap_or_default());
        let version = framework.resource_version().unwrap_or_default();
        let mut state = self.lock();
        if state.frameworks.get(&name).is_some_and(|known| {
            let known_version = known.resource_version().unwrap_or_default();
            !follows((&uid, &version), (&known.uid().unwrap_or_default(), &known_version))
        }) {
            return;
        }
        match written {
            Some(when) => state.frameworks_written.insert(name.clone(), when),
            None => state.frameworks_written.remove(&name),
        };
        state.frameworks.insert(name, Arc::new(framework));
        self.framework_changed(&mut state, &uid);
    }

    /// A framework that is gone.
    pub(crate) fn remove_framework(&self, name: &str) {
        let mut state = self.lock();
        state.frameworks_written.remove(name);
        if let Some(uid) = state.frameworks.remove(name).and_then(|framework| framework.uid()) {
            self.framework_changed(&mut state, &uid);
        }
    }
}
