//! Looks through protobuf bytes for what prost would take silently: required fields that are
//! missing, values of enums that nobody knows, few bytes that become much memory.
//!
//! Occurrences of a field that is not repeated are one message in pieces, so they are checked
//! together.

use std::ops::Range;

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use crate::error::{At, Budget, DecodeError};
use crate::message::{Content, Field, Label, Shape};

/// How deep messages may lie within each other; prost has the same limit.
const MAX_DEPTH: usize = 100;
/// What a piece takes while it waits: its place in a vector that doubles as it grows, and in the
/// buffer of the sort.
const PIECE_BYTES: usize = 3 * size_of::<(usize, &[u8])>();

/// Checks `bytes` as a message of `shape`, and says whether there are enums to drop.
pub(super) fn check(bytes: &[u8], shape: &Shape) -> Result<bool, DecodeError> {
    let mut check = Check { pieces: vec![(0, bytes)], budget: Budget::new(), unknown: false };
    check.message(shape, 0..1, &At::ROOT, 0)?;
    Ok(check.unknown)
}

struct Check<'a> {
    /// Pieces of messages that are to be checked, as a stack; each with the index of its field.
    pieces: Vec<(usize, &'a [u8])>,
    budget: Budget,
    unknown: bool,
}

impl<'a> Check<'a> {
    /// Checks the message whose bytes are the pieces in `range`.
    fn message(
        &mut self,
        shape: &Shape,
        range: Range<usize>,
        at: &At<'_>,
        depth: usize,
    ) -> Result<(), DecodeError> {
        if depth > MAX_DEPTH {
            return Err(DecodeError::TooDeep { limit: MAX_DEPTH });
        }
        let top = self.pieces.len();
        let mut seen = [0_usize; Shape::MAX_FIELDS];
        for piece in range {
            let mut bytes = self.pieces[piece].1;
            while !bytes.is_empty() {
                let (number, wire) = decode_key(&mut bytes).map_err(DecodeError::Protobuf)?;
                let value = value(&mut bytes, number, wire)?;
                if let Some(index) = shape.fields.iter().position(|field| field.number == number) {
                    self.field(shape, index, (wire, value), &mut seen[index], (at, depth))?;
                }
            }
        }
        self.single_messages(shape, top, at, depth)?;
        self.pieces.truncate(top);
        let missing =
            |(field, count): &(&Field, &usize)| field.label == Label::Required && **count == 0;
        match shape.fields.iter().zip(&seen).find(missing) {
            Some((field, _)) => {
                Err(DecodeError::Missing { path: at.field(field.name).to_string() })
            }
            None => Ok(()),
        }
    }

    /// Looks at one occurrence of a field and counts it in `seen`.
    fn field(
        &mut self,
        shape: &Shape,
        index: usize,
        (wire, value): (WireType, &'a [u8]),
        seen: &mut usize,
        (at, depth): (&At<'_>, usize),
    ) -> Result<(), DecodeError> {
        let field = &shape.fields[index];
        *seen += 1;
        self.budget.spend(field.memory)?;
        match (field.content, wire) {
            (Content::Enum(known), WireType::Varint) => {
                // As prost does it: the low 32 bits.
                #[allow(clippy::cast_possible_truncation, reason = "see above")]
                let value = int(value)? as i32;
                if !known(value) {
                    self.unknown = true;
                    *seen = 0;
                }
            }
            // Several of them, packed.
            (Content::Enum(_), WireType::LengthDelimited) => self.unknown = true,
            (Content::Message(inner), WireType::LengthDelimited) => {
                let top = self.pieces.len();
                if field.label != Label::Repeated && *seen > 1 {
                    // The first ones are bounded by the fields and the depth.
                    self.budget.spend(PIECE_BYTES)?;
                }
                self.pieces.push((index, payload(value)?));
                if field.label == Label::Repeated {
                    let at = at.field(field.name);
                    self.message(inner(), top..top + 1, &at.index(*seen - 1), depth + 1)?;
                    self.pieces.truncate(top);
                }
            }
            // Nothing to check, or of a wrong type, which prost refuses.
            _ => {}
        }
        Ok(())
    }

    /// Checks the messages that are not repeated, whose pieces lie from `top` on.
    fn single_messages(
        &mut self,
        shape: &Shape,
        top: usize,
        at: &At<'_>,
        depth: usize,
    ) -> Result<(), DecodeError> {
        self.pieces[top..].sort_by_key(|(index, _)| *index);
        let (mut begin, end) = (top, self.pieces.len());
        while begin < end {
            let index = self.pieces[begin].0;
            let same = self.pieces[begin..end].iter().take_while(|piece| piece.0 == index).count();
            let field = &shape.fields[index];
            if let Content::Message(inner) = field.content {
                self.message(inner(), begin..begin + same, &at.field(field.name), depth + 1)?;
            }
            begin += same;
        }
        Ok(())
    }
}

/// Takes a value, with the length in front of it if it has one.
fn value<'a>(bytes: &mut &'a [u8], number: u32, wire: WireType) -> Result<&'a [u8], DecodeError> {
    let whole = *bytes;
    skip_field(wire, number, bytes, DecodeContext::default()).map_err(DecodeError::Protobuf)?;
    Ok(&whole[..whole.len() - bytes.len()])
}

fn int(mut value: &[u8]) -> Result<u64, DecodeError> {
    decode_varint(&mut value).map_err(DecodeError::Protobuf)
}

/// What follows the length.
fn payload(mut value: &[u8]) -> Result<&[u8], DecodeError> {
    decode_varint(&mut value).map_err(DecodeError::Protobuf)?;
    Ok(value)
}
