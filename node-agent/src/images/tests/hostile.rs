//! Layers made to write, read or fill what is not theirs.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::getxattr;
use tar::EntryType;

use super::made::{Archive, gzip, header};
use crate::beneath::Dir;
use crate::images::layer::{self, Error, Limits};
use crate::images::layout::{Blob, Layer, Sha};

/// Small enough to be reached in a test.
const SMALL: Limits = Limits { bytes: 1 << 20, ratio: 50, small_bytes: 1 << 16, entries: 100 };

/// Unpacks an archive into `into`, over `below`.
fn unpack(archive: Archive, into: &Path, below: &[&Path], limits: Limits) -> Result<(), String> {
    let archive = archive.finish();
    let packed = gzip(&archive);
    unpack_blob(&packed, &archive, &packed, into, below, limits)
}

/// Unpacks `blob`, which should be `packed`, which should hold `archive`.
fn unpack_blob(
    blob: &[u8],
    archive: &[u8],
    packed: &[u8],
    into: &Path,
    below: &[&Path],
    limits: Limits,
) -> Result<(), String> {
    let mut file: File = tempfile::tempfile().unwrap();
    file.write_all(blob).unwrap();
    file.rewind().unwrap();
    let size = packed.len() as u64;
    let layer = Layer { blob: Blob { digest: Sha::of(packed), size }, diff_id: Sha::of(archive) };
    let into = Dir::open(into).unwrap();
    let below: Vec<Dir> = below.iter().map(|path| Dir::open(path).unwrap()).collect();
    match layer::unpack(file, &layer, &into, &below, limits) {
        Ok(()) => Ok(()),
        Err(Error::Refused(why)) => Err(why),
        Err(Error::Io(err)) => panic!("the disk: {err}"),
    }
}

/// A layer beside a directory that must stay as it is.
struct Stage {
    root: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for name in ["layer", "victim", "below"] {
            std::fs::create_dir(root.path().join(name)).unwrap();
        }
        std::fs::write(root.path().join("victim/secret"), "s").unwrap();
        Self { root }
    }

    fn layer(&self) -> PathBuf {
        self.root.path().join("layer")
    }

    fn below(&self) -> PathBuf {
        self.root.path().join("below")
    }

    fn victim(&self) -> String {
        self.root.path().join("victim").display().to_string()
    }

    fn unpack(&self, archive: Archive) -> Result<(), String> {
        let unpacked = unpack(archive, &self.layer(), &[&self.below()], Limits::default());
        let names: Vec<_> = std::fs::read_dir(self.victim()).unwrap().collect();
        assert_eq!(names.len(), 1, "the victim has {names:?}");
        let secret = Path::new(&self.victim()).join("secret");
        assert_eq!(std::fs::read_to_string(&secret).unwrap(), "s");
        assert_eq!(secret.metadata().unwrap().nlink(), 1);
        unpacked
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.layer().join(name)).unwrap()
    }
}

#[test]
fn names_that_leave_are_refused() {
    for name in ["../x", "/x", "a/../../x", "a/..", ".."] {
        let stage = Stage::new();
        let why = stage.unpack(Archive::default().file(name, "x")).unwrap_err();
        assert!(why.contains(name), "{why}");
        assert!(!stage.root.path().join("x").exists());
    }
    let long = "a/".repeat(300);
    let archive = Archive::default().pax(&[("path", long.as_bytes())]).file("x", "x");
    assert!(Stage::new().unpack(archive).unwrap_err().contains("longer"));
}

#[test]
fn nothing_is_written_through_a_link() {
    let stage = Stage::new();
    let archive = Archive::default()
        .symlink("way", &stage.victim())
        .file("way/x", "x")
        .symlink("up", "../victim")
        .directory("up/")
        .file("up/y", "y")
        .symlink("file", &format!("{}/secret", stage.victim()))
        .file("file", "z");
    stage.unpack(archive).unwrap();
    assert_eq!((stage.read("way/x"), stage.read("up/y")), ("x".to_owned(), "y".to_owned()));
    assert_eq!(stage.read("file"), "z");
}

#[test]
fn a_link_is_kept_as_it_is() {
    let stage = Stage::new();
    stage.unpack(Archive::default().symlink("l", "../../../etc/passwd")).unwrap();
    let target = std::fs::read_link(stage.layer().join("l")).unwrap();
    assert_eq!(target, Path::new("../../../etc/passwd"));
}

#[test]
fn hard_links_reach_this_layer_and_those_below_only() {
    for target in ["../victim/secret", "/etc/passwd", "..", "absent", "d"] {
        let archive = Archive::default().directory("d/").hard_link("l", target);
        let why = Stage::new().unpack(archive).unwrap_err();
        assert!(why.contains("`l`"), "{why}");
    }
    let stage = Stage::new();
    let through = Archive::default().symlink("way", &stage.victim()).hard_link("l", "way/secret");
    assert!(stage.unpack(through).is_err());

    let stage = Stage::new();
    std::fs::write(stage.below().join("lower"), "low").unwrap();
    let archive = Archive::default()
        .file("a", "x")
        .hard_link("b", "./a")
        .hard_link("copy", "lower")
        .symlink("s", "anything")
        .hard_link("t", "s");
    stage.unpack(archive).unwrap();
    assert_eq!(stage.layer().join("a").metadata().unwrap().nlink(), 2);
    assert_eq!(stage.read("copy"), "low");
    assert_eq!(std::fs::read_link(stage.layer().join("t")).unwrap(), Path::new("anything"));
    let below = stage.below().join("lower").metadata().unwrap();
    assert_eq!(below.nlink(), 1, "a layer below is never changed");

    let stage = Stage::new();
    std::os::unix::fs::symlink(stage.victim(), stage.below().join("way")).unwrap();
    assert!(stage.unpack(Archive::default().hard_link("l", "way/secret")).is_err());
}

#[test]
fn whiteouts_become_those_of_overlay() {
    let stage = Stage::new();
    let archive = Archive::default()
        .file("d/.wh.gone", "")
        .file("opaque/.wh..wh..opq", "")
        .file("own", "kept")
        .file(".wh.own", "")
        .file("dir/x", "x")
        .file(".wh.dir", "")
        .file(".wh.again", "")
        .file("again/y", "y")
        .file(".wh..wh.plnk", "");
    stage.unpack(archive).unwrap();
    let gone = stage.layer().join("d/gone").metadata().unwrap();
    assert!(gone.file_type().is_char_device());
    assert_eq!(gone.rdev(), 0);
    let opaque = |name: &str| {
        let mut value = [0_u8; 8];
        getxattr(stage.layer().join(name), "trusted.overlay.opaque", &mut value).is_ok()
    };
    assert!(opaque("opaque") && opaque("dir") && opaque("again"));
    assert!(!opaque("d"));
    assert_eq!((stage.read("own"), stage.read("dir/x")), ("kept".to_owned(), "x".to_owned()));
    assert!(!stage.layer().join(".wh..wh.plnk").exists());
    for name in [".wh..", ".wh...", "a/.wh.", ".wh."] {
        assert!(Stage::new().unpack(Archive::default().file(name, "")).is_err(), "{name}");
    }
}

#[test]
fn no_layer_brings_devices_or_overlays_own_marks() {
    let device = |major: u32, minor: u32| {
        let mut header = header(EntryType::Char, "dev/thing", "");
        header.set_device_major(major).unwrap();
        header.set_device_minor(minor).unwrap();
        Archive::default().raw(header, b"")
    };
    let stage = Stage::new();
    stage.unpack(device(1, 1)).unwrap();
    assert!(!stage.layer().join("dev/thing").exists());
    let why = stage.unpack(device(0, 0)).unwrap_err();
    assert!(why.contains("0:0"), "{why}");

    let stage = Stage::new();
    let archive = Archive::default()
        .pax(&[
            ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
            ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
            ("SCHILY.xattr.user.overlay.opaque", b"y"),
            ("SCHILY.xattr.user.mine", b"kept"),
        ])
        .directory("d/");
    stage.unpack(archive).unwrap();
    let attribute = |name: &str| {
        let mut value = [0_u8; 16];
        getxattr(stage.layer().join("d"), name, &mut value).is_ok()
    };
    assert!(attribute("user.mine"));
    for name in ["trusted.overlay.opaque", "trusted.overlay.redirect", "user.overlay.opaque"] {
        assert!(!attribute(name), "{name}");
    }
}

#[test]
fn long_names_are_read_and_bounded() {
    let stage = Stage::new();
    let long = format!("{}/{}", "d".repeat(200), "f".repeat(200));
    let gnu = || header(EntryType::GNULongName, "././@LongLink", "");
    let archive = Archive::default()
        .raw(gnu(), format!("{long}\0").as_bytes())
        .file("short", "gnu")
        .pax(&[("path", b"p/pax")])
        .file("short", "pax");
    stage.unpack(archive).unwrap();
    assert_eq!((stage.read(&long), stage.read("p/pax")), ("gnu".to_owned(), "pax".to_owned()));

    let archive = Archive::default().raw(gnu(), &[b'x'; 10_000]).file("short", "");
    assert!(Stage::new().unpack(archive).unwrap_err().contains("more than"));
    let huge = vec![b'x'; 2 << 20];
    let archive = Archive::default().pax(&[("comment", &huge)]).file("short", "");
    assert!(Stage::new().unpack(archive).unwrap_err().contains("more than"));
}

#[test]
fn archives_that_can_be_read_in_two_ways_are_refused() {
    let archive = Archive::default().pax(&[("size", b"1000")]).file("f", "x");
    assert!(Stage::new().unpack(archive).unwrap_err().contains("two different sizes"));
    let sparse = Archive::default().pax(&[("GNU.sparse.major", b"1")]).file("f", "x");
    assert!(Stage::new().unpack(sparse).unwrap_err().contains("sparse"));
    let root = Archive::default().symlink("./", "/etc");
    assert!(Stage::new().unpack(root).unwrap_err().contains("root"));
    let damaged = Archive::default().raw(header(EntryType::XHeader, "pax", ""), b"99 broken");
    assert!(Stage::new().unpack(damaged.file("f", "")).unwrap_err().contains("PAX"));
}

#[test]
fn bombs_are_bounded_by_size_ratio_and_number() {
    let into = tempfile::tempdir().unwrap();
    let zeros = "\0".repeat(512 * 1024);
    let why = unpack(Archive::default().file("f", &zeros), into.path(), &[], SMALL).unwrap_err();
    assert!(why.contains("times as much"), "{why}");

    let mut archive = Archive::default();
    for number in 0..101 {
        archive = archive.file(&number.to_string(), "");
    }
    let unlimited = Limits { small_bytes: u64::MAX, ..SMALL };
    let why = unpack(archive, into.path(), &[], unlimited).unwrap_err();
    assert!(why.contains("more than 100 entries"), "{why}");

    let large = "x".repeat(2 << 20);
    let why =
        unpack(Archive::default().file("f", &large), into.path(), &[], unlimited).unwrap_err();
    assert!(why.contains("more than 1048576 bytes"), "{why}");
}

#[test]
fn a_blob_cut_short_is_refused() {
    let into = tempfile::tempdir().unwrap();
    let archive = Archive::default().file("f", &"content ".repeat(1000)).finish();
    let packed = gzip(&archive);
    for length in [10, packed.len() / 2, packed.len() - 1] {
        let limits = Limits::default();
        let why = unpack_blob(&packed[..length], &archive, &packed, into.path(), &[], limits);
        assert_eq!(why.unwrap_err(), "its content differs from its digest");
    }
}

#[test]
fn an_entry_replaces_what_had_its_name() {
    let stage = Stage::new();
    let archive = Archive::default()
        .file("a/b/c", "old")
        .file("a/b", "now a file")
        .file("a/b/c", "and a directory again")
        .file("x", "1")
        .file("x", "2");
    stage.unpack(archive).unwrap();
    assert_eq!(stage.read("a/b/c"), "and a directory again");
    assert_eq!(stage.read("x"), "2");
}

#[test]
fn garbage_is_refused_and_harmless() {
    let into = tempfile::tempdir().unwrap();
    let garbage =
        b"this is no archive, but long enough to be taken for a header of one. ".repeat(20);
    let limits = Limits::default();
    unpack_blob(&garbage, &garbage, &garbage, into.path(), &[], limits).unwrap_err();
    assert_eq!(std::fs::read_dir(into.path()).unwrap().count(), 0);
}
