//! Reads JSON value by value, with no tree in between: memory is taken only for what a message
//! keeps, and what it does not know is skipped.
//!
//! **Invariants**
//! - The reader never goes back; each byte is looked at a bounded number of times.
//! - Recursion is as deep as the nesting, and that has a limit.

use std::borrow::Cow;

use crate::error::{At, Budget, DecodeError};

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Null,
    Truth,
    Number,
    Text,
    Array,
    Object,
}

/// A place in a JSON text.
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    max_depth: usize,
    /// Whether an object or array was begun, and nothing in it was read.
    fresh: bool,
    pub(crate) budget: Budget,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], max_depth: usize) -> Result<Self, DecodeError> {
        let text = std::str::from_utf8(bytes).map_err(|error| DecodeError::Syntax {
            what: "bytes that are not UTF-8",
            at: error.valid_up_to(),
        })?;
        Ok(Self { text, at: 0, depth: 0, max_depth, fresh: false, budget: Budget::new() })
    }

    /// To be called after the value: nothing but white space may follow.
    pub(crate) fn finish(mut self) -> Result<(), DecodeError> {
        self.space();
        if self.at == self.text.len() { Ok(()) } else { self.syntax("bytes after the value") }
    }

    /// The kind of the value that begins here.
    pub(crate) fn peek(&mut self) -> Result<Token, DecodeError> {
        self.space();
        match self.byte() {
            Some(b'{') => Ok(Token::Object),
            Some(b'[') => Ok(Token::Array),
            Some(b'"') => Ok(Token::Text),
            Some(b'-' | b'0'..=b'9') => Ok(Token::Number),
            Some(b't' | b'f') => Ok(Token::Truth),
            Some(b'n') => Ok(Token::Null),
            Some(_) => self.syntax("no value"),
            None => self.syntax("the end"),
        }
    }

    /// Takes `null`, if it comes next.
    pub(crate) fn null(&mut self) -> Result<bool, DecodeError> {
        if self.peek()? != Token::Null {
            return Ok(false);
        }
        self.word("null").map(|()| true)
    }

    pub(crate) fn truth(&mut self) -> Result<bool, DecodeError> {
        let value = self.byte() == Some(b't');
        self.word(if value { "true" } else { "false" })?;
        Ok(value)
    }

    /// The text of a number.
    pub(crate) fn number(&mut self) -> Result<&'a str, DecodeError> {
        let rest = &self.text[self.at..];
        match number_length(rest.as_bytes()) {
            Some(length) => {
                self.at += length;
                Ok(&rest[..length])
            }
            None => self.syntax("a malformed number"),
        }
    }

    /// A string, borrowed if it has no escapes.
    pub(crate) fn text(&mut self) -> Result<Cow<'a, str>, DecodeError> {
        self.at += 1; // the quotation mark that was peeked
        let plain = self.plain()?;
        if self.byte() == Some(b'"') {
            self.at += 1;
            return Ok(Cow::Borrowed(plain));
        }
        let mut text = plain.to_owned();
        while self.byte() != Some(b'"') {
            text.push(self.escape()?);
            text.push_str(self.plain()?);
        }
        self.at += 1;
        Ok(Cow::Owned(text))
    }

    /// Enters the object that must come next.
    pub(crate) fn begin_object(&mut self, at: &At<'_>) -> Result<(), DecodeError> {
        if self.peek()? != Token::Object {
            return Err(at.wrong("must be an object"));
        }
        self.enter()
    }

    /// Enters the array that was peeked.
    pub(crate) fn begin_array(&mut self) -> Result<(), DecodeError> {
        self.enter()
    }

    /// The next key of the object; `None` at its end, which it leaves.
    pub(crate) fn key(&mut self) -> Result<Option<Cow<'a, str>>, DecodeError> {
        if !self.more(b'}')? {
            return Ok(None);
        }
        self.space();
        if self.byte() != Some(b'"') {
            return self.syntax("no key");
        }
        let key = self.text()?;
        self.space();
        if self.byte() != Some(b':') {
            return self.syntax("no colon");
        }
        self.at += 1;
        Ok(Some(key))
    }

    /// Whether the array has a next element; leaves the array if not.
    pub(crate) fn element(&mut self) -> Result<bool, DecodeError> {
        self.more(b']')
    }

    /// Passes over a value.
    pub(crate) fn skip(&mut self) -> Result<(), DecodeError> {
        match self.peek()? {
            Token::Null => self.word("null"),
            Token::Truth => self.truth().map(drop),
            Token::Number => self.number().map(drop),
            Token::Text => self.text().map(drop),
            Token::Array => {
                self.begin_array()?;
                while self.element()? {
                    self.skip()?;
                }
                Ok(())
            }
            Token::Object => {
                self.enter()?;
                while self.key()?.is_some() {
                    self.skip()?;
                }
                Ok(())
            }
        }
    }

    fn enter(&mut self) -> Result<(), DecodeError> {
        if self.depth == self.max_depth {
            return Err(DecodeError::TooDeep { limit: self.max_depth });
        }
        self.depth += 1;
        self.at += 1;
        self.fresh = true;
        Ok(())
    }

    /// Takes the comma before the next member, or `end`.
    fn more(&mut self, end: u8) -> Result<bool, DecodeError> {
        let fresh = std::mem::take(&mut self.fresh);
        self.space();
        match self.byte() {
            Some(byte) if byte == end => {
                self.at += 1;
                self.depth -= 1;
                Ok(false)
            }
            Some(_) if fresh => Ok(true),
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(_) => self.syntax("no comma"),
            None => self.syntax("the end"),
        }
    }

    /// The rest of a string up to an escape or its end, which is there.
    fn plain(&mut self) -> Result<&'a str, DecodeError> {
        let rest = &self.text[self.at..];
        let stop = rest.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
        let plain = &rest[..stop.unwrap_or(rest.len())];
        self.at += plain.len();
        match self.byte() {
            Some(b'"' | b'\\') => Ok(plain),
            Some(_) => self.syntax("a control character in a string"),
            None => self.syntax("the end"),
        }
    }

    fn escape(&mut self) -> Result<char, DecodeError> {
        let letter = self.text.as_bytes().get(self.at + 1);
        let plain = match letter {
            Some(letter @ (b'"' | b'\\' | b'/')) => char::from(*letter),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return self.syntax("an unknown escape"),
        };
        self.at += 2;
        Ok(plain)
    }

    /// `\uXXXX`, twice for what lies beyond the basic plane.
    fn unicode(&mut self) -> Result<char, DecodeError> {
        let first = self.unit()?;
        let mut units = vec![first];
        if matches!(first, 0xd800..0xdc00) {
            units.push(self.unit()?);
        }
        match char::decode_utf16(units).next() {
            Some(Ok(decoded)) => Ok(decoded),
            _ => self.syntax("half of a surrogate pair"),
        }
    }

    fn unit(&mut self) -> Result<u16, DecodeError> {
        let digits = self.text.get(self.at..self.at + 6).and_then(|text| text.strip_prefix("\\u"));
        let digits = digits.filter(|digits| digits.bytes().all(|each| each.is_ascii_hexdigit()));
        match digits.and_then(|digits| u16::from_str_radix(digits, 16).ok()) {
            Some(unit) => {
                self.at += 6;
                Ok(unit)
            }
            None => self.syntax("an escape without its four digits"),
        }
    }

    fn word(&mut self, word: &'static str) -> Result<(), DecodeError> {
        if !self.text[self.at..].starts_with(word) {
            return self.syntax("no value");
        }
        self.at += word.len();
        Ok(())
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.byte() {
            self.at += 1;
        }
    }

    fn syntax<T>(&self, what: &'static str) -> Result<T, DecodeError> {
        Err(DecodeError::Syntax { what, at: self.at })
    }
}

/// Whether `text` is a JSON number and nothing else.
pub(crate) fn is_number(text: &str) -> bool {
    number_length(text.as_bytes()) == Some(text.len())
}

/// Of the number that `bytes` begin with.
fn number_length(bytes: &[u8]) -> Option<usize> {
    let digits = |from: usize| {
        let rest = bytes.get(from..).unwrap_or_default();
        from + rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    let begin = usize::from(bytes.first() == Some(&b'-'));
    let mut end = match bytes.get(begin)? {
        b'0' => begin + 1,
        b'1'..=b'9' => digits(begin),
        _ => return None,
    };
    if bytes.get(end) == Some(&b'.') {
        let fraction = end + 1;
        end = digits(fraction);
        if end == fraction {
            return None;
        }
    }
    if let Some(b'e' | b'E') = bytes.get(end) {
        let sign = matches!(bytes.get(end + 1), Some(b'+' | b'-'));
        let exponent = end + 1 + usize::from(sign);
        end = digits(exponent);
        if end == exponent {
            return None;
        }
    }
    Some(end)
}
