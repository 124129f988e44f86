use std::fs;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::symlink;

use super::*;

fn target(limit_bytes: u64) -> (tempfile::TempDir, Target) {
    let directory = tempfile::tempdir().unwrap();
    let target = Target::open(&directory.path().join("stdout"), limit_bytes).unwrap();
    (directory, target)
}

fn content(target: &Target) -> (Vec<u8>, Option<Vec<u8>>) {
    (fs::read(&target.path).unwrap(), fs::read(target.path.with_extension("1")).ok())
}

#[test]
fn a_file_never_exceeds_its_limit_and_one_former_is_kept() {
    let (_directory, mut target) = target(4096);
    let text: Vec<u8> = (0..20_000u32).map(|i| b'a' + u8::try_from(i % 26).unwrap()).collect();
    for piece in text.chunks(1000) {
        target.write(piece);
    }
    let (present, former) = content(&target);
    let former = former.unwrap();
    assert_eq!(former.len(), 4096);
    assert_eq!([former, present].concat(), text[4 * 4096 - 4096..]);
    assert_eq!(target.dropped_bytes, 0);
}

#[test]
fn a_file_that_is_exactly_full_is_not_rotated_before_the_next_byte() {
    let (_directory, mut target) = target(4096);
    target.write(&[b'x'; 4096]);
    assert_eq!(content(&target), (vec![b'x'; 4096], None));
    target.write(b"y");
    assert_eq!(content(&target), (b"y".to_vec(), Some(vec![b'x'; 4096])));
}

#[test]
fn output_is_appended_to_what_is_there_and_counted_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("stdout");
    fs::write(&path, [b'o'; 4000]).unwrap();
    let mut target = Target::open(&path, 4096).unwrap();
    target.write(&[b'n'; 100]);
    let (present, former) = content(&target);
    assert_eq!(former.unwrap().len(), 4096);
    assert_eq!(present, [b'n'; 4]);
}

#[test]
fn what_a_full_disk_refuses_is_dropped_and_counted() {
    // /dev/full refuses every write as a full disk does.
    let mut target = Target::open(Path::new("/dev/full"), 4096).unwrap();
    target.write(b"lost");
    assert_eq!(target.dropped_bytes, 4);
    assert_eq!(target.last_error.unwrap().kind(), io::ErrorKind::StorageFull);
}

#[test]
fn a_pipe_ends_when_its_last_writer_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("stdout");
    let (mut stream, writer) = Stream::open(&path, 4096).unwrap();
    assert!(stream.as_fd().as_raw_fd() > 2);
    let mut buffer = vec![0; CHUNK_BYTES];
    assert_eq!(stream.copy(&mut buffer), Copied::Nothing);
    rustix::io::write(&writer, b"hello").unwrap();
    assert_eq!(stream.copy(&mut buffer), Copied::Some);
    drop(writer);
    assert_eq!(stream.copy(&mut buffer), Copied::End);
    assert_eq!(fs::read(path).unwrap(), b"hello");
    assert_eq!(stream.loss(), None);
}

#[test]
fn a_link_in_place_of_the_file_is_not_followed() {
    let (directory, mut target) = target(4096);
    let victim = directory.path().join("victim");
    target.write(&[b'x'; 4096]);
    // The program knows when its output is about to be rotated, and where to.
    fs::remove_file(&target.path).unwrap();
    fs::create_dir(directory.path().join("stdout.1")).unwrap();
    symlink(&victim, &target.path).unwrap();
    target.write(b"evil");
    assert_eq!((target.dropped_bytes, victim.exists()), (4, false));

    let link = directory.path().join("stderr");
    symlink(&victim, &link).unwrap();
    assert!(Target::open(&link, 4096).is_err() && !victim.exists());
}

#[test]
fn a_program_that_removes_its_output_gets_a_new_file_at_the_next_rotation() {
    let (_directory, mut target) = target(4096);
    target.write(&[b'x'; 4096]);
    fs::remove_file(&target.path).unwrap();
    target.write(b"more");
    assert_eq!(content(&target), (b"more".to_vec(), None));
}

#[test]
fn a_pipe_that_nobody_reads_does_not_make_the_shim_wait() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("stdout");
    let (kind, mode) = (rustix::fs::FileType::Fifo, Mode::from_raw_mode(0o600));
    rustix::fs::mknodat(CWD, &path, kind, mode, 0).unwrap();
    assert!(Target::open(&path, 4096).is_err());
}
