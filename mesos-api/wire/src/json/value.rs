//! Any JSON as a [`Value`]. Unlike serde_json's own reading, numbers are exact to the last bit, and
//! the nesting has the limit of this crate.

use serde_json::{Map, Number, Value};

use super::reader::{Reader, Token};
use crate::error::{At, DecodeError};

pub(super) fn read(r: &mut Reader<'_>) -> Result<Value, DecodeError> {
    Ok(match r.peek()? {
        Token::Null => {
            r.skip()?;
            Value::Null
        }
        Token::Truth => Value::Bool(r.truth()?),
        Token::Number => number(r.number()?),
        Token::Text => Value::String(r.text()?.into_owned()),
        Token::Array => {
            let mut values = Vec::new();
            r.begin_array()?;
            while r.element()? {
                values.push(read(r)?);
            }
            Value::Array(values)
        }
        Token::Object => {
            let mut values = Map::new();
            r.begin_object(&At::ROOT)?;
            while let Some(key) = r.key()? {
                values.insert(key.into_owned(), read(r)?);
            }
            Value::Object(values)
        }
    })
}

fn number(text: &str) -> Value {
    if let Ok(whole) = text.parse::<i64>() {
        return Value::from(whole);
    }
    if let Ok(whole) = text.parse::<u64>() {
        return Value::from(whole);
    }
    text.parse().ok().and_then(Number::from_f64).map_or(Value::Null, Value::Number)
}
