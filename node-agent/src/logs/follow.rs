//! Reads one output of a task, across its rotation, and goes on with what is written.
//!
//! The shim renames a full `stdout` to `stdout.1`, replacing the one before, and begins a new one.
//! A file that is open here is read to its end whatever its name has become; what came after it is
//! found by comparing inodes: `stdout.1` first if that is neither it nor the new `stdout`.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::Stream as Chunks;
use tokio_util::sync::CancellationToken;

use crate::directory::{Stream, TaskDirectory};
use crate::node::blocking;

/// Bytes read and sent at a time.
const CHUNK_BYTES: usize = 32 * 1024;
/// Time between two looks at an output that does not grow.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// `O_NOFOLLOW`: an output is a file, not a way to another.
const NO_FOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Which output.
    pub(super) stream: Stream,
    /// Whether to go on until the task has ended.
    pub(super) follow: bool,
    /// Only so many lines from the end of what is there.
    pub(super) tail_lines: Option<u64>,
}

impl Wanted {
    /// Reads `stream=stdout&follow=true&tailLines=10`; each may be absent.
    ///
    /// # Errors
    /// Why not, for people.
    pub(super) fn parse(query: &str) -> Result<Self, String> {
        let mut wanted = Self { stream: Stream::Stdout, follow: false, tail_lines: None };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "stream" => {
                    wanted.stream = super::stream(value)
                        .ok_or_else(|| "`stream` must be stdout or stderr".to_owned())?;
                }
                "follow" => {
                    wanted.follow = match value {
                        "true" | "1" | "" => true,
                        "false" | "0" => false,
                        _ => return Err("`follow` must be true or false".to_owned()),
                    };
                }
                "tailLines" => {
                    let lines = value.parse();
                    wanted.tail_lines =
                        Some(lines.map_err(|_| "`tailLines` must be a number".to_owned())?);
                }
                // A newer control plane may ask for more.
                _ => {}
            }
        }
        Ok(wanted)
    }
}

/// A reader of one output.
pub(super) struct Follow {
    /// The current file, and the one before it.
    path: PathBuf,
    previous: PathBuf,
    wanted: Wanted,
    ended: CancellationToken,
    reader: Reader,
}

/// Where reading is.
#[derive(Default)]
struct Reader {
    begun: bool,
    /// Files that are to be read, the next one first.
    files: VecDeque<Opened>,
    /// The last one that was read to its end; written to, perhaps, still.
    last: Option<Opened>,
}

/// An open file and which one it is.
struct Opened {
    file: File,
    inode: u64,
}

impl Follow {
    pub(super) fn new(task: &TaskDirectory, wanted: Wanted, ended: CancellationToken) -> Self {
        let path = task.output(wanted.stream);
        let mut previous = path.clone().into_os_string();
        previous.push(".1");
        let previous = PathBuf::from(previous);
        Self { path, previous, wanted, ended, reader: Reader::default() }
    }

    /// The output in chunks; ends when all of it was read and, with `follow`, the task has ended.
    pub(super) fn chunks(self) -> impl Chunks<Item = io::Result<Bytes>> + Send + 'static {
        futures::stream::unfold(Some(self), |follow| async move {
            let mut follow = follow?;
            loop {
                // Looked at before the files: what was written before the end is found after it.
                let last_round = !follow.wanted.follow || follow.ended.is_cancelled();
                let (read, returned) = blocking(move || {
                    let read = follow.read();
                    (read, follow)
                })
                .await;
                follow = returned;
                match read {
                    Ok(Some(chunk)) => return Some((Ok(chunk), Some(follow))),
                    Ok(None) if last_round => return None,
                    Ok(None) => {
                        tokio::select! {
                            () = follow.ended.cancelled() => {}
                            () = tokio::time::sleep(LOOK_INTERVAL) => {}
                        }
                    }
                    Err(err) => return Some((Err(err), None)),
                }
            }
        })
    }

    /// The next bytes; `None` where there are none at the moment.
    fn read(&mut self) -> io::Result<Option<Bytes>> {
        if !self.reader.begun {
            self.begin()?;
        }
        loop {
            let reader = &mut self.reader;
            if let Some(current) = reader.files.front_mut() {
                let mut chunk = vec![0; CHUNK_BYTES];
                let length = current.file.read(&mut chunk)?;
                if length > 0 {
                    chunk.truncate(length);
                    return Ok(Some(Bytes::from(chunk)));
                }
                reader.last = reader.files.pop_front();
                continue;
            }
            if !self.find_more()? {
                return Ok(None);
            }
        }
    }

    fn begin(&mut self) -> io::Result<()> {
        let reader = &mut self.reader;
        reader.begun = true;
        for path in [&self.previous, &self.path] {
            if let Some(opened) = open(path)? {
                // Renamed between the two looks: it is the same.
                if reader.files.back().is_none_or(|known| known.inode != opened.inode) {
                    reader.files.push_back(opened);
                }
            }
        }
        if let Some(lines) = self.wanted.tail_lines {
            skip_to_tail(&mut reader.files, lines)?;
        }
        Ok(())
    }

    /// Looks for bytes after the last file's end: in itself, and in files that came after it.
    fn find_more(&mut self) -> io::Result<bool> {
        let reader = &mut self.reader;
        // Before the look at the last one: if it is not the newest any more, nobody writes to it.
        let newest = open(&self.path)?;
        let Some(last) = &mut reader.last else {
            reader.files.extend(newest);
            return Ok(!reader.files.is_empty());
        };
        let known = last.inode;
        let grown = last.file.metadata()?.len() > last.file.stream_position()?;
        let newest = newest.filter(|newest| newest.inode != known);
        if grown || newest.is_some() {
            reader.files.extend(reader.last.take().filter(|_| grown));
        }
        if let Some(newest) = newest {
            // Rotated more than once since.
            let between = open(&self.previous)?;
            let between = between.filter(|b| b.inode != known && b.inode != newest.inode);
            reader.files.extend(between);
            reader.files.push_back(newest);
        }
        Ok(!reader.files.is_empty())
    }
}

fn open(path: &Path) -> io::Result<Option<Opened>> {
    match File::options().read(true).custom_flags(NO_FOLLOW).open(path) {
        Ok(file) => {
            let inode = file.metadata()?.ino();
            Ok(Some(Opened { file, inode }))
        }
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(err),
    }
}

/// Drops and seeks so that what is left are the last `lines` lines.
fn skip_to_tail(files: &mut VecDeque<Opened>, lines: u64) -> io::Result<()> {
    let mut left = lines;
    let mut at_end = true;
    for index in (0..files.len()).rev() {
        let file = &mut files[index].file;
        let begins = tail_begins(file, &mut left, at_end)?;
        file.seek(SeekFrom::Start(begins.unwrap_or(0)))?;
        if begins.is_some() {
            files.drain(..index);
            return Ok(());
        }
        at_end = at_end && file.metadata()?.len() == 0;
    }
    Ok(())
}

/// Where the last `left` lines of a file begin; `None` where it has fewer, and `left` is then what is
/// missing. Read backwards, a chunk at a time. A newline `at_end` of everything begins no line.
fn tail_begins(file: &mut File, left: &mut u64, at_end: bool) -> io::Result<Option<u64>> {
    let length = file.metadata()?.len();
    if *left == 0 {
        return Ok(Some(length));
    }
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut end = length;
    while end > 0 {
        let begin = end.saturating_sub(CHUNK_BYTES as u64);
        let size = usize::try_from(end - begin).unwrap_or(CHUNK_BYTES);
        file.seek(SeekFrom::Start(begin))?;
        file.read_exact(&mut chunk[..size])?;
        for (offset, byte) in chunk[..size].iter().enumerate().rev() {
            let next = begin + offset as u64 + 1;
            if *byte != b'\n' || (at_end && next == length) {
                continue;
            }
            *left -= 1;
            if *left == 0 {
                return Ok(Some(next));
            }
        }
        end = begin;
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
