//! The kinds of values: how each is read from JSON and written to it.

use std::fmt::Display;
use std::io::Write as _;
use std::marker::PhantomData;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};

use super::reader::{Reader, Token, is_number};
use super::write;
use crate::error::{At, DecodeError};
use crate::message::{Enum, Message};

/// One kind of values, of the Rust type `T`.
pub(crate) trait Kind<T> {
    /// The value that comes next; `None` for the name of an enum that nobody knows.
    fn read(r: &mut Reader<'_>, at: &At<'_>) -> Result<Option<T>, DecodeError>;

    fn write(value: &T, out: &mut Vec<u8>);

    /// Whether there is a form for it.
    fn known(_value: &T) -> bool {
        true
    }

    /// Takes what nobody knows out of `value`, and says whether it is known itself.
    fn scrub(_value: &mut T) -> bool {
        true
    }
}

pub(crate) struct Text;

impl Kind<String> for Text {
    fn read(r: &mut Reader<'_>, at: &At<'_>) -> Result<Option<String>, DecodeError> {
        match r.peek()? {
            Token::Text => Ok(Some(r.text()?.into_owned())),
            _ => Err(at.wrong("must be a string")),
        }
    }

    fn write(value: &String, out: &mut Vec<u8>) {
        write::text(value, out);
    }
}

pub(crate) struct Base64;

/// Padding may be left out.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Kind<Vec<u8>> for Base64 {
    fn read(r: &mut Reader<'_>, at: &At<'_>) -> Result<Option<Vec<u8>>, DecodeError> {
        if r.peek()? != Token::Text {
            return Err(at.wrong("must be a string in base64"));
        }
        let text = r.text()?;
        let is_space = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
        let decoded = if text.as_bytes().iter().any(is_space) {
            let mut bytes = text.into_owned().into_bytes();
            bytes.retain(|byte| !is_space(byte));
            LENIENT.decode(bytes)
        } else {
            LENIENT.decode(text.as_bytes())
        };
        decoded.map(Some).map_err(|_| at.wrong("is not base64"))
    }

    fn write(value: &Vec<u8>, out: &mut Vec<u8>) {
        out.push(b'"');
        let begin = out.len();
        out.resize(begin + value.len().div_ceil(3) * 4, 0);
        let written = STANDARD.encode_slice(value, &mut out[begin..]);
        out.truncate(begin + written.expect("there is room for four characters of three bytes"));
        out.push(b'"');
    }
}

pub(crate) struct Truth;

impl Kind<bool> for Truth {
    fn read(r: &mut Reader<'_>, at: &At<'_>) -> Result<Option<bool>, DecodeError> {
        let wrong = || at.wrong("must be true or false");
        match r.peek()? {
            Token::Truth => r.truth().map(Some),
            Token::Text => r.text()?.parse().map(Some).map_err(|_| wrong()),
            _ => Err(wrong()),
        }
    }

    fn write(value: &bool, out: &mut Vec<u8>) {
        out.extend_from_slice(if *value { b"true" } else { b"false" });
    }
}

pub(crate) struct Float;

impl Kind<f64> for Float {
    fn read(r: &mut Reader<'_>, at: &At<'_>) -> Result<Option<f64>, DecodeError> {
        let parse = |text: &str| text.parse::<f64>().ok().filter(|value| value.is_finite());
        let value = match r.peek()? {
            Token::Number => parse(r.number()?),
            Token::Text => match &*r.text()? {
                "Infinity" => Some(f64::INFINITY),
                "-Infinity" => Some(f64::NEG_INFINITY),
                "NaN" => Some(f64::NAN),
                text if is_number(text) => parse(text),
                _ => None,
            },
            _ => None,
        };
        value.map(Some).ok_or_else(|| at.wrong("must be a number"))
    }

    fn write(value: &f64, out: &mut Vec<u8>) {
        write::float(*value, out);
    }
}

pub(crate) struct Integer;

impl<T: TryFrom<i128> + Display> Kind<T> for Integer {
    fn read(r: &mut Reader<'_>, at: &At<'_>) -> Result<Option<T>, DecodeError> {
        let value = match r.peek()? {
            Token::Number => integer(r.number()?),
            Token::Text => Some(r.text()?).filter(|text| is_number(text)).and_then(|t| integer(&t)),
            _ => None,
        };
        let value = value.ok_or_else(|| at.wrong("must be a number"))?;
        T::try_from(value).map(Some).map_err(|_| at.wrong("is out of range"))
    }

    fn write(value: &T, out: &mut Vec<u8>) {
        let _ = write!(out, "{value}");
    }
}

/// The whole part of a number; what is beyond all integers is the largest or smallest.
fn integer(text: &str) -> Option<i128> {
    if let Ok(whole) = text.parse() {
        return Some(whole);
    }
    let value: f64 = text.parse().ok()?;
    #[allow(clippy::cast_possible_truncation, reason = "this cast saturates, and cuts fractions")]
    Some(value as i128)
}

/// An enum, by its name.
pub(crate) struct Name<E>(PhantomData<E>);

impl<E: Enum> Kind<i32> for Name<E> {
    fn read(r: &mut Reader<'_>, at: &At<'_>) -> Result<Option<i32>, DecodeError> {
        match r.peek()? {
            Token::Text => Ok(E::from_name(&r.text()?)),
            _ => Err(at.wrong("must be the name of an enum's value")),
        }
    }

    fn write(value: &i32, out: &mut Vec<u8>) {
        out.push(b'"');
        out.extend_from_slice(E::name(*value).unwrap_or_default().as_bytes());
        out.push(b'"');
    }

    fn known(value: &i32) -> bool {
        E::known(*value)
    }

    fn scrub(value: &mut i32) -> bool {
        E::known(*value)
    }
}

/// A message.
pub(crate) struct Nested;

impl<M: Message> Kind<M> for Nested {
    fn read(r: &mut Reader<'_>, at: &At<'_>) -> Result<Option<M>, DecodeError> {
        M::read_json(r, at).map(Some)
    }

    fn write(value: &M, out: &mut Vec<u8>) {
        value.write_json(out);
    }

    fn scrub(value: &mut M) -> bool {
        value.drop_unknown();
        true
    }
}
