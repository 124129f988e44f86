//! RecordIO: the framing of streams. ASCII decimal length, one line feed, that many bytes.
//!
//! **Invariants**
//! - Between two calls the decoder holds at most one unfinished record, and that is at most the
//!   limit long, if its owner takes all records before it pushes more bytes.
//! - Each byte is looked at a bounded number of times, however the stream is cut.
//! - After an error there are no more records: nobody knows where the next one begins.

use bytes::{Buf as _, Bytes, BytesMut};

/// The largest record a [`Decoder`] takes unless told otherwise, in bytes.
pub const MAX_RECORD_BYTES: usize = 4 << 20;

/// Digits of a length; as many as the largest 64-bit number has.
const MAX_LENGTH_DIGITS: usize = 20;

/// Why a stream is broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// What stands where a length must stand is not a plain decimal number and a line feed.
    #[error("a record must begin with its length in decimal digits and a line feed")]
    Length,
    /// The record is longer than the limit.
    #[error("a record of {length} bytes is longer than the limit of {limit}")]
    TooLong {
        /// Of the record, in bytes.
        length: u64,
        /// Of the decoder, in bytes.
        limit: usize,
    },
    /// The stream ended within a record.
    #[error("the stream ended within a record")]
    Truncated,
}

/// One record with its length in front. A reader skips an empty `payload`, so send none.
#[must_use]
pub fn frame(payload: &[u8]) -> Vec<u8> {
    let length = payload.len().to_string();
    let mut record = Vec::with_capacity(length.len() + 1 + payload.len());
    record.extend_from_slice(length.as_bytes());
    record.push(b'\n');
    record.extend_from_slice(payload);
    record
}

/// Takes a stream in pieces of any size and gives its records.
#[derive(Debug)]
pub struct Decoder {
    limit: usize,
    buffer: BytesMut,
    state: State,
}

#[derive(Debug)]
enum State {
    Length,
    Payload(usize),
    Broken(Error),
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new(MAX_RECORD_BYTES)
    }
}

impl Decoder {
    /// A decoder at the begin of a stream, for records of at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, buffer: BytesMut::new(), state: State::Length }
    }

    /// Adds what was read. Take all records with [`Decoder::next_record`] before the next call.
    pub fn push(&mut self, bytes: &[u8]) {
        if !matches!(self.state, State::Broken(_)) {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next whole record, which is never empty; `None` until more is pushed.
    ///
    /// # Errors
    /// If the stream is broken; each later call then says so again.
    pub fn next_record(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            match &self.state {
                State::Broken(error) => return Err(error.clone()),
                State::Payload(length) => {
                    let length = *length;
                    if self.buffer.len() < length {
                        return Ok(None);
                    }
                    self.state = State::Length;
                    return Ok(Some(self.buffer.split_to(length).freeze()));
                }
                State::Length => match self.length() {
                    Ok(None) => return Ok(None),
                    Ok(Some(0)) => {}
                    Ok(Some(length)) => self.state = State::Payload(length),
                    Err(error) => {
                        self.buffer = BytesMut::new();
                        self.state = State::Broken(error);
                    }
                },
            }
        }
    }

    /// To be asked when the stream has ended and all records were taken.
    ///
    /// # Errors
    /// If the stream is broken or ended within a record.
    pub fn finish(self) -> Result<(), Error> {
        match self.state {
            State::Broken(error) => Err(error),
            State::Length if self.buffer.is_empty() => Ok(()),
            State::Length | State::Payload(_) => Err(Error::Truncated),
        }
    }

    /// Takes a length and its line feed off the buffer, if they are there.
    fn length(&mut self) -> Result<Option<usize>, Error> {
        let digits = self.buffer.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits > MAX_LENGTH_DIGITS {
            return Err(Error::Length);
        }
        match self.buffer.get(digits) {
            None => return Ok(None),
            Some(b'\n') if digits > 0 => {}
            Some(_) => return Err(Error::Length),
        }
        let text = std::str::from_utf8(&self.buffer[..digits]).map_err(|_| Error::Length)?;
        let length: u64 = text.parse().map_err(|_| Error::Length)?;
        self.buffer.advance(digits + 1);
        match usize::try_from(length) {
            Ok(length) if length <= self.limit => Ok(Some(length)),
            _ => Err(Error::TooLong { length, limit: self.limit }),
        }
    }
}

#[cfg(test)]
mod tests;
