//! Programs that run on, and programs that run once.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// Pause between two looks at a child.
const PAUSE: Duration = Duration::from_millis(5);
/// How much of a process' output is printed after a failure, from its end.
const SHOWN_BYTES: u64 = 24 * 1024;

/// A program that runs until it is stopped; its output goes to a file.
///
/// Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; what it prints is appended to `log`.
    ///
    /// # Errors
    /// The program cannot be started.
    pub(crate) fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {name}: {command:?}"))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_owned() })
    }

    /// Its process id.
    #[must_use]
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// It has ended.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(Pid::from_child(&self.child), signal)
            .with_context(|| format!("cannot signal {}", self.name))
    }

    /// Fails if it has ended.
    ///
    /// # Errors
    /// It has; the end of its output is in the message.
    pub(crate) fn check_alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended with {status}:\n{}", self.name, end_of(&self.log)),
        }
    }

    /// SIGKILL, and the wait for its end.
    pub(crate) fn kill(&mut self) {
        // Fails only where it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// SIGTERM, and the wait for its end.
    ///
    /// # Errors
    /// It does not end in time (it is killed then), or not with 0.
    pub(crate) fn stop(&mut self, within: Duration) -> Result<()> {
        self.signal(Signal::TERM)?;
        match wait_within(&mut self.child, within)? {
            Some(status) => {
                ensure!(status.success(), "{} ended with {status} after SIGTERM", self.name);
                Ok(())
            }
            None => {
                self.kill();
                bail!("{} did not end within {within:?} after SIGTERM", self.name)
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The end of a log.
pub(crate) fn end_of(log: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(SHOWN_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_else(|error| format!("(no output: {error})"))
}

/// What a program that has ended left.
#[derive(Debug)]
pub struct Output {
    /// The command, for messages.
    command: String,
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Output {
    /// Its standard output.
    ///
    /// # Errors
    /// It ended with another code than 0; the message has its standard error.
    pub fn success(self) -> Result<String> {
        let Self { command, status, stdout, stderr } = self;
        ensure!(status.success(), "`{command}` ended with {status}:\n{stderr}{stdout}");
        Ok(stdout)
    }

    /// Its standard error.
    ///
    /// # Errors
    /// It ended with 0.
    pub fn failure(self) -> Result<String> {
        let Self { command, status, stdout, stderr } = self;
        ensure!(!status.success(), "`{command}` should have failed, and printed:\n{stdout}");
        Ok(stderr)
    }
}

/// Runs a program to its end, with `input` as its standard input.
///
/// # Errors
/// It cannot be started, or does not end in time (it is killed then).
pub fn run(command: &mut Command, input: Option<&str>, within: Duration) -> Result<Output> {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let text: Vec<_> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    let text = text.join(" ");
    let mut child = command
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{text}`"))?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        if let (Some(mut stdin), Some(input)) = (stdin, input) {
            // A program that ends without reading is judged by its exit code.
            scope.spawn(move || drop(stdin.write_all(input.as_bytes())));
        }
        let stdout = scope.spawn(|| read(stdout));
        let stderr = scope.spawn(|| read(stderr));
        let status = wait_within(&mut child, within)?;
        if status.is_none() {
            child.kill()?;
            child.wait()?;
        }
        let join = |reader: thread::ScopedJoinHandle<'_, String>| reader.join().unwrap_or_default();
        let (stdout, stderr) = (join(stdout), join(stderr));
        let Some(status) = status else {
            bail!("`{text}` did not end within {within:?}:\n{stderr}{stdout}");
        };
        Ok(Output { command: text.clone(), status, stdout, stderr })
    })
}

fn read(stream: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        // What was read before an error is what there is.
        drop(stream.read_to_end(&mut bytes));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn wait_within(child: &mut Child, within: Duration) -> Result<Option<ExitStatus>> {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if begin.elapsed() >= within {
            return Ok(None);
        }
        thread::sleep(PAUSE);
    }
}

/// A port of loopback that nobody listens on, and that no other call of this process gets.
///
/// Below the ports the kernel gives to connections, so that it stays free until it is used, also
/// while the program that listens on it is started again.
///
/// # Errors
/// There is none.
pub(crate) fn free_port() -> Result<u16> {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = u16::try_from(std::process::id() % u32::from(COUNT))?;
    for _ in 0..COUNT {
        let next = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        if TcpListener::bind(("127.0.0.1", FIRST + next)).is_ok() {
            return Ok(FIRST + next);
        }
    }
    bail!("no port from {FIRST} on is free")
}
