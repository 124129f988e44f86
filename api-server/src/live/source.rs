//! What a live collection is read from: the agreement with whoever owns the objects.

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use serde_json::Value;

/// Objects of one kind in the memory of the leading control plane.
///
/// Their versions grow with every change, and those of a later leader are larger than all of an
/// earlier one. Everybody's calls are answered at once, from memory.
pub trait LiveCollection: std::fmt::Debug + Send + Sync + 'static {
    /// Where the objects are now.
    fn leader(&self) -> Leader;

    /// Waits until [`LiveCollection::leader`] says something else than `seen`.
    fn leader_changed(&self, seen: Leader) -> BoxFuture<'static, ()>;

    /// The objects in any order, all that are `within`, and the version they are as of. `None`
    /// where this process does not lead.
    fn list(&self, within: Within<'_>) -> Option<(u64, Vec<LiveObject>)>;

    /// Every change after version `since`, in order. Ends when this process leads no longer, when
    /// it is not read fast enough, and at once where the changes after `since` are not known: of an
    /// earlier leader, too long ago, or never. `None` where this process does not lead.
    fn watch(&self, since: u64) -> Option<BoxStream<'static, LiveEvent>>;
}

/// Who has the objects of a live collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leader {
    /// Nobody that is known.
    Unknown,
    /// This process.
    Here,
    /// The API server at this URL, such as `https://10.0.0.1:7443`.
    At(String),
}

/// Which objects are wanted at least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Within<'a> {
    /// Those of one namespace; of all where it is `None`.
    pub namespace: Option<&'a str>,
    /// The one of this name, in each namespace; all where it is `None`.
    pub name: Option<&'a str>,
}

/// One object, complete with name, namespace, uid and time of creation.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveObject {
    /// The change that made it what it is.
    pub version: u64,
    /// The object; its `apiVersion`, `kind` and `metadata.resourceVersion` are not looked at.
    pub value: Value,
}

/// One change. Live objects come and go, and do not change in between.
#[derive(Clone, Debug, PartialEq)]
pub enum LiveEvent {
    /// It is there from this version on.
    Added(LiveObject),
    /// It is gone as of this version; the value is what it was.
    Deleted(LiveObject),
}
