//! The entries of a layer's archive: names, links and attributes put together and checked.
//!
//! The parser of the crate `tar` finds headers and contents. What belongs to an entry beyond its
//! header (long names, PAX records) is read here, since there each of them may be as large as it
//! says; and nothing is ever unpacked there.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt as _;

use tar::{Archive, EntryType, Header, PaxExtensions};

use super::layer::{Error, read_error};
use crate::beneath::{Inside, Metadata};

/// Bytes of a long name: those of the longest path, and its end.
const MAX_NAME_BYTES: u64 = 4096 + 1;
/// Bytes of the PAX records of one entry: some extended attributes.
const MAX_PAX_BYTES: u64 = 1024 * 1024;
/// Characters of a name that are shown in a message.
const MAX_SHOWN: usize = 200;

/// One entry.
pub(super) struct Entry<'a> {
    /// Where it goes; empty for the root of the layer.
    pub(super) path: Inside,
    /// What it is.
    pub(super) kind: Kind,
    /// Owner, mode and time.
    pub(super) metadata: Metadata,
    /// Extended attributes.
    pub(super) attributes: Vec<(String, Vec<u8>)>,
    /// The bytes of a file.
    pub(super) content: &'a mut dyn Read,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link to anything.
    Symlink(OsString),
    /// Another name of this entry.
    HardLink(Inside),
    /// A named pipe.
    Fifo,
    /// A device, of which images have no need.
    Device,
}

/// What belongs to the next entry.
#[derive(Default)]
struct Ahead {
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    pax: Option<Vec<u8>>,
}

/// Calls `take` with each entry of the archive, in order.
///
/// # Errors
/// The archive is damaged, has too many entries or one that is refused, or `take` fails.
pub(super) fn each(
    archive: &mut impl Read,
    max_entries: u64,
    take: &mut dyn FnMut(Entry<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut archive = Archive::new(archive);
    let entries = archive.entries().map_err(|err| read_error(&err))?.raw(true);
    let mut ahead = Ahead::default();
    let mut count = 0;
    for entry in entries {
        let mut entry = entry.map_err(|err| read_error(&err))?;
        count += 1;
        if count > max_entries {
            return Err(Error::Refused(format!("it has more than {max_entries} entries")));
        }
        let header = entry.header().clone();
        match header.entry_type() {
            EntryType::GNULongName => ahead.long_name = Some(name(&mut entry)?),
            EntryType::GNULongLink => ahead.long_link = Some(name(&mut entry)?),
            EntryType::XHeader => ahead.pax = Some(bounded(&mut entry, MAX_PAX_BYTES)?),
            // Comments of whoever made the archive.
            EntryType::XGlobalHeader => {}
            _ => {
                let ahead = std::mem::take(&mut ahead);
                take(assemble(&header, &ahead, &mut entry)?)?;
            }
        }
    }
    Ok(())
}

fn assemble<'a>(
    header: &Header,
    ahead: &Ahead,
    content: &'a mut dyn Read,
) -> Result<Entry<'a>, Error> {
    let pax = Pax::parse(ahead.pax.as_deref().unwrap_or_default(), header)?;
    let raw_path = pax
        .path
        .or_else(|| ahead.long_name.clone())
        .unwrap_or_else(|| header.path_bytes().into_owned());
    let refused = |why: &dyn std::fmt::Display| {
        Error::Refused(format!("entry `{}`: {why}", shown(&raw_path)))
    };
    let path = Inside::parse(&raw_path).map_err(|err| refused(&err))?;
    let link = || {
        let in_header = || header.link_name_bytes().map(std::borrow::Cow::into_owned);
        let target = pax.link.clone().or_else(|| ahead.long_link.clone()).or_else(in_header);
        let target = target.unwrap_or_default();
        let usable = !target.is_empty()
            && !target.contains(&0)
            && u64::try_from(target.len()).is_ok_and(|length| length < MAX_NAME_BYTES);
        if usable { Ok(target) } else { Err(refused(&"it links to nothing that could be")) }
    };
    let kind = match header.entry_type() {
        // The way archives had directories before they had a type for them.
        EntryType::Regular if raw_path.ends_with(b"/") => Kind::Directory,
        EntryType::Regular | EntryType::Continuous => Kind::File,
        EntryType::Directory => Kind::Directory,
        EntryType::Symlink => Kind::Symlink(OsString::from_vec(link()?)),
        EntryType::Link => Kind::HardLink(Inside::parse(&link()?).map_err(|err| refused(&err))?),
        EntryType::Fifo => Kind::Fifo,
        EntryType::Char | EntryType::Block => {
            let whiteout = header.device_major().ok().flatten().unwrap_or(0) == 0
                && header.device_minor().ok().flatten().unwrap_or(0) == 0;
            if whiteout {
                return Err(refused(&"a device 0:0 would hide what is below"));
            }
            Kind::Device
        }
        EntryType::GNUSparse => return Err(refused(&"sparse files are not supported")),
        other => return Err(refused(&format!("entries of type {other:?} are not supported"))),
    };
    // A field that is left empty is a zero.
    let number = |field: &[u8], value: io::Result<u64>| match value {
        Err(_) if field.iter().all(|byte| matches!(byte, 0 | b' ')) => Ok(0),
        value => value.map_err(|err| refused(&err)),
    };
    let id = |value: u64| u32::try_from(value).map_err(|_| refused(&"its owner is no user id"));
    let fields = header.as_old();
    let mode = number(&fields.mode, header.mode().map(u64::from))?;
    let metadata = Metadata {
        uid: id(pax.uid.map_or_else(|| number(&fields.uid, header.uid()), Ok)?)?,
        gid: id(pax.gid.map_or_else(|| number(&fields.gid, header.gid()), Ok)?)?,
        mode: u32::try_from(mode & 0o7777).expect("twelve bits"),
        mtime: match pax.mtime {
            Some(mtime) => mtime,
            None => i64::try_from(number(&fields.mtime, header.mtime())?).unwrap_or(0),
        },
    };
    Ok(Entry { path, kind, metadata, attributes: pax.attributes, content })
}

/// The PAX records that matter.
#[derive(Default)]
struct Pax {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    uid: Option<u64>,
    gid: Option<u64>,
    mtime: Option<i64>,
    attributes: Vec<(String, Vec<u8>)>,
}

impl Pax {
    fn parse(records: &[u8], header: &Header) -> Result<Self, Error> {
        let damaged = || Error::Refused("a PAX record is damaged".to_owned());
        let mut pax = Self::default();
        for record in PaxExtensions::new(records) {
            let record = record.map_err(|_| damaged())?;
            let key = record.key().map_err(|_| damaged())?;
            let value = record.value_bytes();
            let number = || -> Option<u64> { std::str::from_utf8(value).ok()?.parse().ok() };
            match key {
                "path" => pax.path = Some(value.to_vec()),
                "linkpath" => pax.link = Some(value.to_vec()),
                "uid" => pax.uid = Some(number().ok_or_else(damaged)?),
                "gid" => pax.gid = Some(number().ok_or_else(damaged)?),
                // Seconds, with a fraction.
                "mtime" => {
                    let seconds = value.split(|byte| *byte == b'.').next().unwrap_or_default();
                    pax.mtime = std::str::from_utf8(seconds).ok().and_then(|s| s.parse().ok());
                }
                // Two sizes for one entry make two archives of it.
                "size" if number() != header.entry_size().ok() => {
                    let why = "an entry has two different sizes";
                    return Err(Error::Refused(why.to_owned()));
                }
                key if key.starts_with("GNU.sparse.") => {
                    return Err(Error::Refused("sparse files are not supported".to_owned()));
                }
                key => {
                    if let Some(name) = key.strip_prefix("SCHILY.xattr.") {
                        pax.attributes.push((name.to_owned(), value.to_vec()));
                    }
                }
            }
        }
        Ok(pax)
    }
}

/// A name that is an entry of its own, without the zero at its end.
fn name(entry: &mut impl Read) -> Result<Vec<u8>, Error> {
    let mut name = bounded(entry, MAX_NAME_BYTES)?;
    while name.last() == Some(&0) {
        name.pop();
    }
    Ok(name)
}

fn bounded(entry: &mut impl Read, most: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    entry.take(most + 1).read_to_end(&mut bytes).map_err(|err| read_error(&err))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= most) {
        Ok(bytes)
    } else {
        Err(Error::Refused(format!("a name or record has more than {most} bytes")))
    }
}

/// A name for people, without what a terminal would act on.
pub(super) fn shown(name: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(name).chars().take(MAX_SHOWN).collect();
    text.escape_default().to_string()
}
