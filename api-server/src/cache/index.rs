//! The objects of a kind: by key, and by the value of each selectable field.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use crate::object::{self, Object};
use crate::registry::Kind;
use crate::selector::{FieldSelector, LabelSelector};

/// Which objects of a kind are meant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    /// One namespace; all of them, or the cluster scope, if `None`.
    pub(crate) namespace: Option<String>,
    pub(crate) labels: LabelSelector,
    pub(crate) fields: FieldSelector,
}

impl Selection {
    pub(crate) fn matches(&self, object: &Object) -> bool {
        self.namespace.as_deref().is_none_or(|namespace| object.namespace() == namespace)
            && self.fields.matches(object.outline())
            && self.labels.matches(object.labels())
    }

    /// Whether it means everything in its namespace.
    pub(crate) fn is_unselective(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// The one namespace it is confined to.
    pub(crate) fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref().or_else(|| self.fields.exact("metadata.namespace"))
    }

    /// The narrowest way to what it means.
    pub(super) fn scope(&self, kind: &Kind) -> Scope {
        if let Some(name) = self.fields.exact("metadata.name") {
            if !kind.namespaced {
                return Scope::Name(name.to_owned());
            }
            if let Some(namespace) = self.namespace() {
                return Scope::Name(object::key(namespace, name));
            }
        }
        for (index, path) in kind.selectable_fields.iter().enumerate() {
            if let Some(value) = self.fields.exact(path.as_str()) {
                return Scope::Field(index, value.to_owned());
            }
        }
        match self.namespace() {
            Some(namespace) if kind.namespaced => Scope::Namespace(namespace.to_owned()),
            _ => Scope::All,
        }
    }
}

/// A part of a kind's objects that can be found without looking at the others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Scope {
    All,
    Namespace(String),
    /// By the selectable field of this index, and its value.
    Field(usize, String),
    /// By key.
    Name(String),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Index {
    kind: Arc<Kind>,
    objects: BTreeMap<Arc<str>, Arc<Object>>,
    /// For each selectable field, the keys by value.
    fields: Vec<HashMap<String, BTreeSet<Arc<str>>>>,
}

impl Index {
    pub(super) fn new(kind: &Arc<Kind>) -> Self {
        let fields = kind.selectable_fields.iter().map(|_| HashMap::new()).collect();
        Self { kind: Arc::clone(kind), objects: BTreeMap::new(), fields }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Arc<Object>> {
        self.objects.get(key)
    }

    /// How many objects are in a scope.
    pub(super) fn count(&self, scope: &Scope) -> usize {
        match scope {
            Scope::All => self.objects.len(),
            Scope::Namespace(_) | Scope::Field(..) | Scope::Name(_) => {
                self.scan(scope, None).count()
            }
        }
    }

    /// Puts an object in the place of the one with its key, which is returned.
    pub(super) fn insert(&mut self, object: &Arc<Object>) -> Option<Arc<Object>> {
        let key = object.key();
        let previous = self.objects.insert(Arc::clone(key), Arc::clone(object));
        for (path, keys) in self.kind.selectable_fields.iter().zip(&mut self.fields) {
            let new = path.get(object.outline());
            if let Some(previous) = &previous {
                let old = path.get(previous.outline());
                if old == new {
                    continue;
                }
                forget(keys, &old, key);
            }
            keys.entry(new.into_owned()).or_default().insert(Arc::clone(key));
        }
        previous
    }

    /// Takes an object out.
    pub(super) fn remove(&mut self, key: &str) -> Option<Arc<Object>> {
        let object = self.objects.remove(key)?;
        for (path, keys) in self.kind.selectable_fields.iter().zip(&mut self.fields) {
            forget(keys, &path.get(object.outline()), key);
        }
        Some(object)
    }

    /// The objects in a scope whose keys come after `after`, in key order.
    pub(super) fn scan<'a>(
        &'a self,
        scope: &Scope,
        after: Option<&str>,
    ) -> Box<dyn Iterator<Item = &'a Arc<Object>> + 'a> {
        let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
        match scope {
            Scope::All => {
                Box::new(self.objects.range::<str, _>((begin, Bound::Unbounded)).map(|(_, o)| o))
            }
            Scope::Namespace(namespace) => {
                let prefix = format!("{namespace}/");
                let begin = match after {
                    Some(after) if after >= prefix.as_str() => Bound::Excluded(after),
                    _ => Bound::Included(prefix.as_str()),
                };
                let objects = self.objects.range::<str, _>((begin, Bound::Unbounded));
                let inside = move |(key, _): &(&Arc<str>, _)| key.starts_with(&prefix);
                Box::new(objects.take_while(inside).map(|(_, object)| object))
            }
            Scope::Field(index, value) => match self.fields[*index].get(value) {
                None => Box::new(std::iter::empty()),
                Some(keys) => {
                    let keys = keys.range::<str, _>((begin, Bound::Unbounded));
                    Box::new(keys.filter_map(|key| self.objects.get(key)))
                }
            },
            Scope::Name(key) => {
                let beyond = after.is_some_and(|after| key.as_str() <= after);
                Box::new(self.objects.get(key.as_str()).filter(|_| !beyond).into_iter())
            }
        }
    }
}

/// Takes a key out of the set of a value.
fn forget(keys: &mut HashMap<String, BTreeSet<Arc<str>>>, value: &str, key: &str) {
    if let Some(set) = keys.get_mut(value) {
        set.remove(key);
        if set.is_empty() {
            keys.remove(value);
        }
    }
}
