//! One layer, in one pass: hash, decompress, hash, unpack.
//!
//! ```text
//! blob ─► sha256 ─► gunzip ─► bounded, sha256 ─► entries ─► unpack
//!           │                        │
//!         digest                  diff id         compared at the end, before anybody sees the layer
//! ```

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek as _, SeekFrom};
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;
use sha2::{Digest as _, Sha256};

use super::entries;
use super::layout::{Layer, Sha};
use super::unpack::Writer;
use crate::beneath::Dir;

/// Bytes read at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// How much a layer may be. Without it a blob of some kilobytes fills any disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes of the unpacked archive. Images with models in them have layers of tens of gigabytes.
    pub(crate) bytes: u64,
    /// Unpacked bytes per compressed byte, beyond `small_bytes`. Programs and texts are packed to a
    /// third or a tenth, zeros to a thousandth.
    pub(crate) ratio: u64,
    /// Unpacked bytes whose ratio does not matter.
    pub(crate) small_bytes: u64,
    /// Entries of the archive; a whole distribution has some hundred thousand.
    pub(crate) entries: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 64 * 1024 * 1024 * 1024,
            ratio: 200,
            small_bytes: 256 * 1024 * 1024,
            entries: 1_000_000,
        }
    }
}

/// Why a layer was not unpacked.
#[derive(Debug)]
pub(super) enum Error {
    /// Its content is not what it should be, or not what is taken.
    Refused(String),
    /// The agent's disk refused.
    Io(io::Error),
}

impl From<io::Error> for Error {
    fn from(err: io::Error) -> Self {
        Self::Io(err)
    }
}

/// Unpacks `blob` into the empty directory `into`; `below` are the layers beneath, top to bottom.
/// After an error the directory holds parts.
///
/// # Errors
/// See [`Error`].
pub(super) fn unpack(
    mut blob: File,
    layer: &Layer,
    into: &Dir,
    below: &[Dir],
    limits: Limits,
) -> Result<(), Error> {
    let unpacked = unpack_once(&blob, layer, into, below, limits);
    if matches!(unpacked, Err(Error::Refused(_))) {
        // A blob that was damaged is that in the first place, whatever came out of it.
        blob.seek(SeekFrom::Start(0))?;
        let mut hash = Sha256::new();
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match blob.read(&mut chunk)? {
                0 => break,
                length => hash.update(&chunk[..length]),
            }
        }
        if Sha::from_hash(&hash.finalize()) != layer.blob.digest {
            return Err(differs("digest"));
        }
    }
    unpacked
}

fn unpack_once(
    blob: &File,
    layer: &Layer,
    into: &Dir,
    below: &[Dir],
    limits: Limits,
) -> Result<(), Error> {
    let compressed_bytes = Rc::new(Cell::new(0));
    let hashed = Hashed::new(blob, Rc::clone(&compressed_bytes));
    let mut compressed = BufReader::with_capacity(CHUNK_BYTES, hashed);
    let diff_id = {
        let source: Box<dyn Read + '_> = match compression(compressed.fill_buf()?) {
            Compression::None => Box::new(&mut compressed),
            Compression::Gzip => Box::new(MultiGzDecoder::new(&mut compressed)),
            Compression::Zstd => {
                let why = "it is compressed with zstd, which this agent cannot unpack; \
                           build the image with gzip layers";
                return Err(Error::Refused(why.to_owned()));
            }
        };
        let unpacked_bytes = Rc::new(Cell::new(0));
        let hashed = Hashed::new(source, Rc::clone(&unpacked_bytes));
        let mut archive = Bounded { hashed, unpacked_bytes, compressed_bytes, limits };
        let mut writer = Writer::new(into, below)?;
        entries::each(&mut archive, limits.entries, &mut |entry| writer.apply(entry))?;
        writer.finish()?;
        // What follows the last entry is part of the digests too.
        drain(&mut archive)?;
        archive.hashed.finish()
    };
    drain(&mut compressed)?;
    if compressed.into_inner().finish() != layer.blob.digest {
        return Err(differs("digest"));
    }
    if diff_id != layer.diff_id { Err(differs("diff id")) } else { Ok(()) }
}

fn differs(from: &str) -> Error {
    Error::Refused(format!("its content differs from its {from}"))
}

/// Reads to the end.
fn drain(from: &mut impl Read) -> Result<(), Error> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match from.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(read_error(&err)),
        }
    }
}

/// An error of reading: of the blob's content, or of the disk it is on.
pub(super) fn read_error(err: &io::Error) -> Error {
    match err.raw_os_error() {
        Some(code) => Error::Io(io::Error::from_raw_os_error(code)),
        None => Error::Refused(err.to_string()),
    }
}

/// How a blob is packed; media types are no proof.
#[derive(Debug, PartialEq, Eq)]
enum Compression {
    None,
    Gzip,
    Zstd,
}

fn compression(beginning: &[u8]) -> Compression {
    if beginning.starts_with(&[0x1f, 0x8b]) {
        Compression::Gzip
    } else if beginning.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Compression::Zstd
    } else {
        Compression::None
    }
}

/// Hashes and counts what is read through it.
struct Hashed<R> {
    inner: R,
    hash: Sha256,
    bytes: Rc<Cell<u64>>,
}

impl<R: Read> Hashed<R> {
    fn new(inner: R, bytes: Rc<Cell<u64>>) -> Self {
        Self { inner, hash: Sha256::new(), bytes }
    }

    fn finish(self) -> Sha {
        Sha::from_hash(&self.hash.finalize())
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.hash.update(&buffer[..length]);
        self.bytes.set(self.bytes.get().saturating_add(length as u64));
        Ok(length)
    }
}

/// Ends with an error when a layer is more than it may be.
struct Bounded<R> {
    hashed: Hashed<R>,
    unpacked_bytes: Rc<Cell<u64>>,
    compressed_bytes: Rc<Cell<u64>>,
    limits: Limits,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Limits { bytes, ratio, small_bytes, .. } = self.limits;
        let unpacked = self.unpacked_bytes.get();
        if unpacked > bytes {
            return Err(io::Error::other(format!("it unpacks to more than {bytes} bytes")));
        }
        let compressed = self.compressed_bytes.get();
        if unpacked > small_bytes && unpacked / ratio > compressed {
            let why = format!(
                "{compressed} bytes of it unpack to {unpacked}: more than {ratio} times as much"
            );
            return Err(io::Error::other(why));
        }
        self.hashed.read(buffer)
    }
}
