//! What becomes of an object, given its owners. Pure.

use std::collections::BTreeSet;

use crate::handlers::delete::{FOREGROUND, ORPHAN};
use crate::object::Object;
use crate::request::params::Propagation;

/// Where an owner stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnerState {
    Present,
    /// It is being deleted and waits for its dependents to go first.
    AwaitsDependents,
    Gone,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Keep,
    /// The references to these owners go.
    Strip(BTreeSet<String>),
    Delete(Propagation),
}

/// Judges an object by its owners: their uids and states.
pub(super) fn judge(object: &Object, owners: Vec<(String, OwnerState)>) -> Verdict {
    let is = |wanted| owners.iter().any(|(_, state)| *state == wanted);
    let present = is(OwnerState::Present);
    if present {
        let rest = owners.into_iter().filter(|(_, state)| *state != OwnerState::Present);
        let rest: BTreeSet<String> = rest.map(|(uid, _)| uid).collect();
        return if rest.is_empty() { Verdict::Keep } else { Verdict::Strip(rest) };
    }
    if owners.is_empty() {
        return Verdict::Keep;
    }
    Verdict::Delete(if object.has_finalizer(ORPHAN) {
        Propagation::Orphan
    } else if object.has_finalizer(FOREGROUND) || is(OwnerState::AwaitsDependents) {
        // Cascades: what the owner waits for waits for its own.
        Propagation::Foreground
    } else {
        Propagation::Background
    })
}

/// Whether `dependent` keeps the owner with `uid` from going, in a foreground deletion.
pub(super) fn blocks(dependent: &Object, uid: &str) -> bool {
    dependent
        .owner_references()
        .iter()
        .any(|reference| reference["uid"] == uid && reference["blockOwnerDeletion"] == true)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::task;

    fn judged(owners: &[(&str, OwnerState)]) -> Verdict {
        let object = task("a", &json!({}));
        judge(&object, owners.iter().map(|(uid, state)| ((*uid).to_owned(), *state)).collect())
    }

    #[test]
    fn one_owner_is_enough_and_dead_references_go() {
        let dead = BTreeSet::from(["2".to_owned(), "3".to_owned()]);
        let owners = [
            ("1", OwnerState::Present),
            ("2", OwnerState::Gone),
            ("3", OwnerState::AwaitsDependents),
        ];
        assert_eq!(judged(&owners), Verdict::Strip(dead));
        assert_eq!(judged(&owners[..1]), Verdict::Keep);
        assert_eq!(judged(&[]), Verdict::Keep);
    }

    #[test]
    fn without_an_owner_it_goes() {
        let gone = ("1", OwnerState::Gone);
        assert_eq!(judged(&[gone]), Verdict::Delete(Propagation::Background));
        let waiting = ("2", OwnerState::AwaitsDependents);
        assert_eq!(judged(&[gone, waiting]), Verdict::Delete(Propagation::Foreground));
    }
}
