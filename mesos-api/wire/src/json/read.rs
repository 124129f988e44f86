//! Reads one field of an object, by its label. `null` unsets it; a key that comes twice counts the
//! last time.

use std::collections::BTreeMap;

use super::kind::Kind;
use super::reader::{Reader, Token};
use crate::error::{At, DecodeError};

/// Which required fields are set, a bit each.
#[derive(Default)]
pub(crate) struct Seen(u64);

impl Seen {
    fn set(&mut self, bit: u32, value: bool) {
        self.0 = self.0 & !(1 << bit) | u64::from(value) << bit;
    }

    /// An error for the first of `names` whose bit is not set.
    pub(crate) fn all(&self, at: &At<'_>, names: &[&'static str]) -> Result<(), DecodeError> {
        match names.get(self.0.trailing_ones() as usize) {
            Some(name) => Err(DecodeError::Missing { path: at.field(name).to_string() }),
            None => Ok(()),
        }
    }
}

pub(crate) fn required<K: Kind<T>, T>(
    r: &mut Reader<'_>,
    at: &At<'_>,
    slot: &mut T,
    seen: &mut Seen,
    bit: u32,
) -> Result<(), DecodeError> {
    let value = single::<K, T>(r, at)?;
    seen.set(bit, value.is_some());
    if let Some(value) = value {
        *slot = value;
    }
    Ok(())
}

pub(crate) fn optional<K: Kind<T>, T>(
    r: &mut Reader<'_>,
    at: &At<'_>,
    slot: &mut Option<T>,
) -> Result<(), DecodeError> {
    *slot = single::<K, T>(r, at)?;
    Ok(())
}

pub(crate) fn one_of<K: Kind<T>, T, O>(
    r: &mut Reader<'_>,
    at: &At<'_>,
    slot: &mut Option<O>,
    variant: fn(T) -> O,
) -> Result<(), DecodeError> {
    if let Some(value) = single::<K, T>(r, at)? {
        *slot = Some(variant(value));
    }
    Ok(())
}

pub(crate) fn repeated<K: Kind<T>, T>(
    r: &mut Reader<'_>,
    at: &At<'_>,
    slot: &mut Vec<T>,
) -> Result<(), DecodeError> {
    slot.clear();
    if r.peek()? != Token::Array {
        slot.extend(single::<K, T>(r, at)?);
        return Ok(());
    }
    r.begin_array()?;
    let mut index = 0;
    while r.element()? {
        r.budget.spend(size_of::<T>())?;
        slot.extend(single::<K, T>(r, &at.index(index))?);
        index += 1;
    }
    Ok(())
}

pub(crate) fn map<K: Kind<T>, T>(
    r: &mut Reader<'_>,
    at: &At<'_>,
    slot: &mut BTreeMap<String, T>,
) -> Result<(), DecodeError> {
    slot.clear();
    if r.null()? {
        return Ok(());
    }
    r.begin_object(at)?;
    while let Some(key) = r.key()? {
        r.budget.spend(size_of::<(String, T)>())?;
        match single::<K, T>(r, &at.key(&key))? {
            Some(value) => slot.insert(key.into_owned(), value),
            None => slot.remove(&*key),
        };
    }
    Ok(())
}

fn single<K: Kind<T>, T>(r: &mut Reader<'_>, at: &At<'_>) -> Result<Option<T>, DecodeError> {
    match r.peek()? {
        Token::Null => r.null().map(|_| None),
        Token::Array => Err(at.wrong("is not repeated, so it cannot be an array")),
        _ => K::read(r, at),
    }
}
