//! What is read of an output, whatever happens to its files.

use std::fs;
use std::io::Write as _;
use std::sync::Arc;

use futures::StreamExt as _;

use super::*;
use crate::directory::Directory;

struct Output {
    _root: tempfile::TempDir,
    _directory: Arc<Directory>,
    task: TaskDirectory,
    ended: CancellationToken,
}

impl Output {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let directory = Arc::new(Directory::open(root.path()).unwrap());
        let task = directory.task("uid-1");
        fs::create_dir_all(task.sandbox()).unwrap();
        Self { _root: root, _directory: directory, task, ended: CancellationToken::new() }
    }

    fn path(&self) -> PathBuf {
        self.task.output(Stream::Stdout)
    }

    fn write(&self, text: &str) {
        let mut file = File::options().create(true).append(true).open(self.path()).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// As the shim does it.
    fn rotate(&self) {
        fs::rename(self.path(), self.path().with_file_name("stdout.1")).unwrap();
        self.write("");
    }

    fn follow(&self, query: &str) -> Follow {
        Follow::new(&self.task, Wanted::parse(query).unwrap(), self.ended.clone())
    }

    async fn read(&self, query: &str) -> String {
        let chunks = self.follow(query).chunks();
        let chunks: Vec<_> = chunks.map(|chunk| chunk.unwrap().to_vec()).collect().await;
        String::from_utf8(chunks.concat()).unwrap()
    }
}

#[test]
fn queries() {
    let wanted = Wanted::parse("stream=stderr&follow=true&tailLines=3&later=1").unwrap();
    let expected = Wanted { stream: Stream::Stderr, follow: true, tail_lines: Some(3) };
    assert_eq!(wanted, expected);
    let plain = Wanted { stream: Stream::Stdout, follow: false, tail_lines: None };
    assert_eq!(Wanted::parse("").unwrap(), plain);
    for bad in ["stream=x", "stream=../stdout", "follow=maybe", "tailLines=-1", "tailLines="] {
        assert!(Wanted::parse(bad).is_err(), "{bad}");
    }
}

#[tokio::test]
async fn what_is_there_comes_in_order_of_time() {
    let output = Output::new();
    assert_eq!(output.read("").await, "");
    output.write("1\n2\n");
    output.rotate();
    output.write("3\n4\n");
    assert_eq!(output.read("").await, "1\n2\n3\n4\n");
}

#[tokio::test]
async fn the_tail_is_counted_across_the_rotation() {
    let output = Output::new();
    output.write("1\n2\n3");
    output.rotate();
    output.write("3\n4\n5\n");
    for (lines, expected) in [
        (0, ""),
        (1, "5\n"),
        (2, "4\n5\n"),
        (3, "33\n4\n5\n"),
        (4, "2\n33\n4\n5\n"),
        (5, "1\n2\n33\n4\n5\n"),
        (9, "1\n2\n33\n4\n5\n"),
    ] {
        assert_eq!(output.read(&format!("tailLines={lines}")).await, expected, "{lines}");
    }
    output.rotate();
    assert_eq!(output.read("tailLines=1").await, "5\n");
    output.write("six");
    assert_eq!(output.read("tailLines=2").await, "5\nsix");
}

#[tokio::test]
async fn a_tail_longer_than_a_chunk_is_found() {
    let output = Output::new();
    let line = "x".repeat(CHUNK_BYTES * 2);
    output.write(&format!("first\n{line}\nlast\n"));
    assert_eq!(output.read("tailLines=2").await.len(), line.len() + 1 + 5);
}

#[tokio::test]
async fn following_survives_rotations_and_ends_with_the_task() {
    let output = Output::new();
    output.write("1\n");
    let mut chunks = Box::pin(output.follow("follow=true").chunks());
    let mut seen = String::new();
    let mut expected = "1\n".to_owned();
    for round in 0..5 {
        while seen.len() < expected.len() {
            let chunk = chunks.next().await.unwrap().unwrap();
            seen.push_str(std::str::from_utf8(&chunk).unwrap());
        }
        // Into the old file, the one between, and the new one, before the reader looks again.
        let before = format!("{round} before\n");
        output.write(&before);
        output.rotate();
        let between = format!("{round} between\n");
        output.write(&between);
        output.rotate();
        let after = format!("{round} after\n");
        output.write(&after);
        expected.push_str(&format!("{before}{between}{after}"));
    }
    output.write("last\n");
    expected.push_str("last\n");
    output.ended.cancel();
    while let Some(chunk) = chunks.next().await {
        seen.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
    }
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_link_in_the_place_of_an_output_is_not_followed() {
    let output = Output::new();
    std::os::unix::fs::symlink("/etc/passwd", output.path()).unwrap();
    let mut chunks = Box::pin(output.follow("").chunks());
    assert!(chunks.next().await.unwrap().is_err());
}
