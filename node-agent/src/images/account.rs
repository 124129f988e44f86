//! Who a container runs as: the image's own users, read beneath its root.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use super::Error;
use crate::beneath::{Dir, Inside};

/// The largest `/etc/passwd` or `/etc/group` that is read, in bytes.
const MAX_BYTES: u64 = 1024 * 1024;

/// A user of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    /// User id.
    pub(crate) uid: u32,
    /// Group id.
    pub(crate) gid: u32,
    /// Home directory in the container.
    pub(crate) home: String,
}

/// The account that `user` (`""`, `name`, `uid`, each with `:group` or without) names in an image
/// with these layers, top to bottom.
///
/// # Errors
/// A name is none of the image's.
pub(crate) fn account(layers: &[PathBuf], user: &str) -> Result<Account, Error> {
    let (user_part, group_part) = match user.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (user, None),
    };
    let unknown = |what: &str, file: &str| Error::Account {
        user: user.to_owned(),
        why: format!("there is no {what} in the image's {file}"),
    };
    let passwd = read(layers, "etc/passwd");
    let wanted = if user_part.is_empty() { "0" } else { user_part };
    // name:password:uid:gid:comment:home:shell
    let entry = entry(&passwd, wanted);
    let number = |text: Option<&&str>| text.and_then(|text| text.parse::<u32>().ok());
    let mut account = match (entry, wanted.parse::<u32>()) {
        (Some(fields), _) => Account {
            uid: number(fields.get(2)).ok_or_else(|| unknown("such user", "/etc/passwd"))?,
            gid: number(fields.get(3)).unwrap_or(0),
            home: fields.get(5).filter(|home| home.starts_with('/')).unwrap_or(&"/").to_string(),
        },
        (None, Ok(uid)) => Account { uid, gid: 0, home: "/".to_owned() },
        (None, Err(_)) => return Err(unknown("such user", "/etc/passwd")),
    };
    if let Some(group) = group_part.filter(|group| !group.is_empty()) {
        let groups = read(layers, "etc/group");
        account.gid = match group.parse() {
            Ok(gid) => gid,
            // name:password:gid:members
            Err(_) => number(self::entry(&groups, group).and_then(|f| f.get(2).copied()).as_ref())
                .ok_or_else(|| unknown("such group", "/etc/group"))?,
        };
    }
    Ok(account)
}

/// The fields of the line whose name, or whose id, is `wanted`.
fn entry<'a>(text: &'a str, wanted: &str) -> Option<Vec<&'a str>> {
    let by_id = wanted.bytes().all(|byte| byte.is_ascii_digit());
    let lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let mut found = lines.filter(|fields| fields.len() >= 3);
    found.find(|fields| if by_id { fields[2] == wanted } else { fields[0] == wanted })
}

/// The file of the topmost layer that has one; empty where none has, or where it is no plain file.
fn read(layers: &[PathBuf], path: &str) -> String {
    let path = Inside::parse(path.as_bytes()).expect("a constant that is a path");
    let open = |layer: &PathBuf| Dir::open(layer).and_then(|layer| layer.file(&path)).transpose();
    let text = |file: File| {
        let mut bytes = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    layers.iter().find_map(open).and_then(Result::ok).and_then(text).unwrap_or_default()
}
