//! One run of the real program in a temporary directory, and what must be true afterwards.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command as Program, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use meseta_shim_api::{
    Answer, Bind, Checkpoint, Command, Exit, Limits, Outcome, Phase, Process, Root, RunRequest,
};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// How long anything may take on a loaded machine before a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two looks.
const GLANCE: Duration = Duration::from_millis(2);

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A run directory, a sandbox, and a control group of its own.
pub(crate) struct Run {
    pub(crate) request: RunRequest,
    directory: tempfile::TempDir,
    /// Above the container's and the shim's groups.
    group: PathBuf,
}

impl Run {
    /// A run of a program on the host's file system, in a sandbox.
    pub(crate) fn of(args: &[&str]) -> Self {
        let directory = tempfile::Builder::new().prefix("meseta-shim-").tempdir().unwrap();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("it-{}-{number}", std::process::id());
        let group = PathBuf::from(format!("/meseta-{name}"));
        let sandbox = directory.path().join("sandbox");
        fs::create_dir_all(&sandbox).unwrap();
        fs::create_dir(directory.path().join("run")).unwrap();
        let request = RunRequest {
            id: name.clone(),
            args: args.iter().map(|&argument| argument.to_owned()).collect(),
            env: vec![("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned())],
            working_dir: "/mnt/sandbox".into(),
            hostname: "task".to_owned(),
            uid: 0,
            gid: 0,
            root: Root::Host,
            binds: vec![Bind { source: sandbox, target: "/mnt/sandbox".into(), read_only: false }],
            hidden: Vec::new(),
            cgroup: group.join(&name),
            limits: Limits { cpu_share_millis: 100, ..Limits::default() },
            stdout: directory.path().join("stdout"),
            stderr: directory.path().join("stderr"),
            output_limit_bytes: 1 << 20,
        };
        Self { request, directory, group }
    }

    /// A run of a shell script.
    pub(crate) fn script(script: &str) -> Self {
        Self::of(&["/bin/sh", "-c", script])
    }

    pub(crate) fn directory(&self) -> PathBuf {
        self.directory.path().join("run")
    }

    /// Where files of the test are that are no part of the run.
    pub(crate) fn outside(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn sandbox(&self) -> PathBuf {
        self.directory.path().join("sandbox")
    }

    /// Writes the request and starts the shim, whatever comes of it.
    pub(crate) fn launch(&self) -> Output {
        meseta_shim_api::write(&self.directory().join("run.json"), &self.request).unwrap();
        shim().arg(self.directory()).output().unwrap()
    }

    /// Starts the shim, which must become ready.
    pub(crate) fn start(&self) -> &Self {
        let output = self.launch();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{:?}: {complaint}", output.status);
        self
    }

    /// Waits until the run has ended, and lets the shim go.
    pub(crate) fn finish(&self) -> Exit {
        self.wait_for(Phase::Ended);
        let exit = self.exit().expect("a run that has ended has an exit.json");
        assert_eq!(self.ask(&Command::Acknowledge), Answer::Ok);
        self.wait_until("the shim has left", || !is_alive(self.checkpoint().unwrap().shim));
        self.assert_nothing_is_left();
        exit
    }

    /// The same as an outcome only.
    pub(crate) fn outcome(&self) -> Outcome {
        self.start().finish().outcome
    }

    /// Waits until the checkpoint says at least this.
    pub(crate) fn wait_for(&self, phase: Phase) -> Checkpoint {
        self.wait_until(&format!("{phase:?}"), || {
            self.checkpoint().is_some_and(|checkpoint| checkpoint.phase >= phase)
        });
        self.checkpoint().unwrap()
    }

    /// Waits until `done`, and says what it waited for if that takes too long.
    pub(crate) fn wait_until(&self, what: &str, mut done: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done() {
            let (checkpoint, exit, log) = (self.checkpoint(), self.exit(), self.log());
            assert!(Instant::now() < deadline, "never: {what}; {checkpoint:?} {exit:?}\n{log}");
            thread::sleep(GLANCE);
        }
    }

    pub(crate) fn checkpoint(&self) -> Option<Checkpoint> {
        meseta_shim_api::read(&self.directory().join("shim.json")).unwrap()
    }

    pub(crate) fn exit(&self) -> Option<Exit> {
        meseta_shim_api::read(&self.directory().join("exit.json")).unwrap()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory().join("shim.log")).unwrap_or_default()
    }

    pub(crate) fn stdout(&self) -> String {
        fs::read_to_string(&self.request.stdout).unwrap()
    }

    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(&self.request.stderr).unwrap()
    }

    /// Sends one command and reads its answer.
    pub(crate) fn ask(&self, command: &Command) -> Answer {
        let mut stream = UnixStream::connect(self.directory().join("shim.sock")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut line = serde_json::to_vec(command).unwrap();
        line.push(b'\n');
        stream.write_all(&line).unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) -> Answer {
        self.ask(&Command::Signal { signal: signal.as_raw(), to_all: false })
    }

    /// SIGTERM to all of the container.
    pub(crate) fn terminate_all(&self) -> Answer {
        self.ask(&Command::Signal { signal: Signal::TERM.as_raw(), to_all: true })
    }

    /// Sends a signal to the shim itself.
    pub(crate) fn signal_shim(&self, signal: Signal) {
        send(self.checkpoint().unwrap().shim, signal);
    }

    /// Every existing directory of `group` in a hierarchy.
    pub(crate) fn group_directories(&self, group: &Path) -> Vec<PathBuf> {
        hierarchies()
            .into_iter()
            .map(|hierarchy| hierarchy.join(group.strip_prefix("/").unwrap()))
            .filter(|directory| directory.exists())
            .collect()
    }

    /// Pids in the container's control group.
    pub(crate) fn processes(&self) -> Vec<String> {
        self.members(&self.request.cgroup)
    }

    /// Pids in the shim's control group: its own, and those of a container that is being made.
    pub(crate) fn shims(&self) -> Vec<String> {
        self.members(&self.group.join("shims"))
    }

    fn members(&self, group: &Path) -> Vec<String> {
        let mut pids: Vec<String> = self
            .group_directories(group)
            .iter()
            .flat_map(|directory| {
                let text = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
                text.lines().map(str::to_owned).collect::<Vec<_>>()
            })
            .collect();
        pids.sort();
        pids.dedup();
        pids
    }

    /// No process, control group, mount or temporary file.
    pub(crate) fn assert_nothing_is_left(&self) {
        let groups = self.group_directories(&self.request.cgroup);
        assert!(groups.is_empty(), "control groups are left: {groups:?}\n{}", self.log());
        self.assert_no_mount();
        let left = names(&self.directory());
        assert_eq!(left, ["exit.json", "run.json", "shim.json", "shim.log"], "{}", self.log());
    }

    /// Nothing of this run is mounted on the host.
    pub(crate) fn assert_no_mount(&self) {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let directory = self.directory.path().to_str().unwrap();
        assert!(!mounts.contains(directory), "a mount is left:\n{mounts}");
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // A test that failed in the middle leaves a shim; its container dies with it.
        if let Ok(Some(checkpoint)) =
            meseta_shim_api::read::<Checkpoint>(&self.directory().join("shim.json"))
        {
            send(checkpoint.shim, Signal::KILL);
            let deadline = Instant::now() + PATIENCE;
            while is_alive(checkpoint.shim) && Instant::now() < deadline {
                thread::sleep(GLANCE);
            }
        }
        for group in [self.request.cgroup.clone(), self.group.join("shims"), self.group.clone()] {
            for directory in self.group_directories(&group) {
                let deadline = Instant::now() + PATIENCE;
                while fs::remove_dir(&directory).is_err()
                    && directory.exists()
                    && Instant::now() < deadline
                {
                    thread::sleep(GLANCE);
                }
            }
        }
    }
}

/// The program under test, with nothing of the test's environment.
pub(crate) fn shim() -> Program {
    let mut program = Program::new(env!("CARGO_BIN_EXE_meseta-shim"));
    program.env_clear();
    program
}

/// Whether the process still exists and is the same one. A zombie does not.
pub(crate) fn is_alive(process: Process) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{}/stat", process.pid)) else { return false };
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    fields[0] != "Z" && fields[22 - 3] == process.start_ticks.to_string()
}

/// Sends a signal to exactly this process, if it still exists.
pub(crate) fn send(process: Process, signal: Signal) {
    let Some(pid) = Pid::from_raw(process.pid) else { return };
    let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    if is_alive(process) {
        let _ = pidfd_send_signal(pidfd, signal);
    }
}

/// Mount points of all control group hierarchies.
fn hierarchies() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let (point, kind) = (fields.next()?, fields.next()?);
            kind.starts_with("cgroup").then(|| PathBuf::from(point))
        })
        .collect()
}

/// Sorted names in a directory.
pub(crate) fn names(directory: &Path) -> Vec<OsString> {
    let mut names: Vec<OsString> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}
