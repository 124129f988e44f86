//! What every message and enum of the protocol can do. Implemented by what `build/` generates.

use std::collections::BTreeMap;

use crate::error::{At, DecodeError};
use crate::json::Reader;
use crate::json::kind::Kind;

/// A message of the protocol. What is hidden is there for [`Encoding`](crate::Encoding).
pub trait Message: prost::Message + std::fmt::Debug + Clone + PartialEq + Default {
    #[doc(hidden)]
    fn shape() -> &'static Shape;

    #[doc(hidden)]
    fn read_json(r: &mut Reader<'_>, at: &At<'_>) -> Result<Self, DecodeError>;

    #[doc(hidden)]
    fn write_json(&self, out: &mut Vec<u8>);

    /// Unsets enum fields whose value nobody knows.
    #[doc(hidden)]
    fn drop_unknown(&mut self);
}

impl<M: Message> Message for Box<M> {
    fn shape() -> &'static Shape {
        M::shape()
    }

    fn read_json(r: &mut Reader<'_>, at: &At<'_>) -> Result<Self, DecodeError> {
        r.budget.spend(size_of::<M>())?;
        M::read_json(r, at).map(Box::new)
    }

    fn write_json(&self, out: &mut Vec<u8>) {
        (**self).write_json(out);
    }

    fn drop_unknown(&mut self) {
        (**self).drop_unknown();
    }
}

/// An enum of the protocol; prost keeps its values as `i32`.
pub(crate) trait Enum {
    fn known(value: i32) -> bool;
    fn name(value: i32) -> Option<&'static str>;
    fn from_name(name: &str) -> Option<i32>;
}

/// What the protobuf check has to know of a message: see `protobuf/check.rs`.
pub struct Shape {
    /// Without those nothing is to be checked of.
    pub(crate) fields: &'static [Field],
}

impl Shape {
    /// The most fields a shape may have.
    pub(crate) const MAX_FIELDS: usize = 32;
}

pub(crate) struct Field {
    pub(crate) number: u32,
    pub(crate) name: &'static str,
    pub(crate) label: Label,
    pub(crate) content: Content,
    /// What each occurrence takes beyond the message it is in, in bytes.
    pub(crate) memory: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Label {
    Required,
    Optional,
    Repeated,
}

#[derive(Clone, Copy)]
pub(crate) enum Content {
    Scalar,
    /// Which values are known.
    Enum(fn(i32) -> bool),
    Message(fn() -> &'static Shape),
}

/// [`Message::drop_unknown`] of one field, by its label.
pub(crate) mod scrub {
    use super::{BTreeMap, Kind};

    /// An unknown value of a required enum was refused before.
    pub(crate) fn required<K: Kind<T>, T>(slot: &mut T) {
        K::scrub(slot);
    }

    pub(crate) fn optional<K: Kind<T>, T>(slot: &mut Option<T>) {
        if slot.as_mut().is_some_and(|value| !K::scrub(value)) {
            *slot = None;
        }
    }

    pub(crate) fn repeated<K: Kind<T>, T>(slot: &mut Vec<T>) {
        slot.retain_mut(K::scrub);
    }

    pub(crate) fn map<K: Kind<T>, T>(slot: &mut BTreeMap<String, T>) {
        slot.retain(|_, value| K::scrub(value));
    }
}
