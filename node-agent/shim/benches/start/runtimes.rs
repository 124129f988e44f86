//! The shim and its peers, each running the same container.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::mem::MaybeUninit;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use meseta_shim_api::{
    CHECKPOINT_FILE, Checkpoint, EXIT_FILE, Exit, Limits, Outcome, Phase, RUN_FILE, Root,
    RunRequest, SOCKET_FILE,
};
use rustix::fs::inotify;
use rustix::process::{Pid, WaitOptions, waitpid};
use serde_json::{Value, json};

use crate::measure::Sample;

const MEMORY_BYTES: u64 = 64 << 20;
const PIDS: u64 = 100;
/// Above the groups of all containers made here.
const GROUP: &str = "/meseta-bench";

/// Directories that all runs share.
pub(crate) struct Shop {
    directory: tempfile::TempDir,
    next: AtomicU32,
}

/// One way to run a container.
pub(crate) enum Runtime<'a> {
    /// The shim, on the host's files.
    ShimOnHost(&'a Shop),
    /// The shim, on one layer.
    ShimOnLayer(&'a Shop),
    /// Another runtime's `run`, on the same directory as that layer.
    Peer(&'a Shop, &'static str),
}

impl Shop {
    pub(crate) fn open() -> Self {
        let directory = tempfile::Builder::new().prefix("meseta-bench-").tempdir().unwrap();
        let root = directory.path().join("root");
        install(&root, "/bin/true");
        for name in ["dev", "proc", "sys"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        Self { directory, next: AtomicU32::new(0) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn new_id(&self) -> String {
        format!("bench-{}-{}", std::process::id(), self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// What so many shims together share with nobody, not even with each other, while their
    /// containers sleep.
    pub(crate) fn idle_shims_kilobytes(&self, count: usize) -> u64 {
        let runs: Vec<ShimRun> =
            (0..count).map(|_| ShimRun::prepare(self, &["sleep", "1000"], Root::Host)).collect();
        for run in &runs {
            run.launch();
            run.wait_for(Phase::Running);
        }
        let kilobytes = runs.iter().map(ShimRun::private_kilobytes).sum();
        for run in runs {
            run.ask(r#"{"command":"signal","signal":9}"#);
            run.wait_for(Phase::Ended);
            run.leave();
        }
        kilobytes
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        // The groups of the containers are gone; these two are in every hierarchy.
        let hierarchies = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
        let mounts = hierarchies.map(|entry| entry.path()).chain(["/sys/fs/cgroup".into()]);
        for mount in mounts {
            let group = mount.join(GROUP.trim_start_matches('/'));
            let _ = fs::remove_dir(group.join("shims"));
            let _ = fs::remove_dir(group);
        }
    }
}

impl<'a> Runtime<'a> {
    /// All there are, and for each whether it works on this machine.
    pub(crate) fn all(shop: &'a Shop) -> Vec<(Self, Result<(), String>)> {
        let peers = ["runc", "crun"].map(|program| {
            let able = peer_works(shop, program);
            (Self::Peer(shop, program), able)
        });
        [(Self::ShimOnHost(shop), Ok(())), (Self::ShimOnLayer(shop), Ok(()))]
            .into_iter()
            .chain(peers)
            .collect()
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::ShimOnHost(_) => "meseta-shim, host's files",
            Self::ShimOnLayer(_) => "meseta-shim, image layer",
            Self::Peer(_, "runc") => "runc run",
            Self::Peer(..) => "crun run",
        }
    }

    /// Runs one container to its end.
    pub(crate) fn run(&self) -> Sample {
        match self {
            Self::ShimOnHost(shop) => shim_run(shop, Root::Host),
            Self::ShimOnLayer(shop) => {
                let (upper, work) = (shop.path(&shop.new_id()), shop.path(&shop.new_id()));
                fs::create_dir(&upper).unwrap();
                fs::create_dir(&work).unwrap();
                shim_run(shop, Root::Layers { lower: vec![shop.path("root")], upper, work })
            }
            Self::Peer(shop, program) => {
                let mut command = peer(shop, program);
                let begin = Instant::now();
                assert!(command.status().unwrap().success());
                let known = begin.elapsed();
                Sample { known, gone: known }
            }
        }
    }
}

fn shim_run(shop: &Shop, root: Root) -> Sample {
    let run = ShimRun::prepare(shop, &["true"], root);
    let begin = Instant::now();
    run.launch();
    run.wait_until(|| run.directory.join(EXIT_FILE).exists());
    let known = begin.elapsed();
    run.wait_for(Phase::Ended);
    let gone = begin.elapsed();
    let exit: Exit = meseta_shim_api::read(&run.directory.join(EXIT_FILE)).unwrap().unwrap();
    assert_eq!(exit.outcome, Outcome::Exited { code: 0 });
    run.leave();
    Sample { known, gone }
}

/// A run directory that is watched.
struct ShimRun {
    directory: PathBuf,
    changes: std::os::fd::OwnedFd,
}

impl ShimRun {
    fn prepare(shop: &Shop, args: &[&str], root: Root) -> Self {
        let id = shop.new_id();
        let directory = shop.path(&format!("run-{id}"));
        fs::create_dir(&directory).unwrap();
        let request = RunRequest {
            args: args.iter().map(|&argument| argument.to_owned()).collect(),
            env: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
            working_dir: "/".into(),
            hostname: "bench".to_owned(),
            uid: 0,
            gid: 0,
            root,
            binds: Vec::new(),
            hidden: Vec::new(),
            cgroup: Path::new(GROUP).join(&id),
            limits: Limits {
                cpu_share_millis: 100,
                cpu_limit_millis: Some(1000),
                memory_bytes: Some(MEMORY_BYTES),
                pids: Some(PIDS),
            },
            stdout: directory.join("stdout"),
            stderr: directory.join("stderr"),
            output_limit_bytes: 1 << 20,
            id,
        };
        meseta_shim_api::write(&directory.join(RUN_FILE), &request).unwrap();
        let changes = inotify::init(inotify::CreateFlags::CLOEXEC).unwrap();
        inotify::add_watch(&changes, &directory, inotify::WatchFlags::MOVED_TO).unwrap();
        Self { directory, changes }
    }

    fn launch(&self) {
        let status = Command::new(env!("CARGO_BIN_EXE_meseta-shim"))
            .arg(&self.directory)
            .env_clear()
            .status()
            .unwrap();
        assert!(status.success());
    }

    fn checkpoint(&self) -> Option<Checkpoint> {
        meseta_shim_api::read(&self.directory.join(CHECKPOINT_FILE)).unwrap()
    }

    fn wait_for(&self, phase: Phase) {
        self.wait_until(|| self.checkpoint().is_some_and(|checkpoint| checkpoint.phase >= phase));
    }

    /// Looks again whenever a file got its name.
    fn wait_until(&self, mut done: impl FnMut() -> bool) {
        let mut buffer = [MaybeUninit::uninit(); 1024];
        let mut reader = inotify::Reader::new(&self.changes, &mut buffer);
        while !done() {
            reader.next().unwrap();
        }
    }

    fn private_kilobytes(&self) -> u64 {
        let shim = self.checkpoint().unwrap().shim.pid;
        let text = fs::read_to_string(format!("/proc/{shim}/smaps_rollup")).unwrap();
        text.lines()
            .filter(|line| line.starts_with("Private_"))
            .map(|line| line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap())
            .sum()
    }

    fn ask(&self, command: &str) {
        let mut stream = UnixStream::connect(self.directory.join(SOCKET_FILE)).unwrap();
        writeln!(stream, "{command}").unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        assert_eq!(answer, "{\"answer\":\"ok\"}\n");
    }

    /// Lets the shim go and takes its processor time.
    fn leave(self) {
        self.ask(r#"{"command":"acknowledge"}"#);
        let shim = self.checkpoint().unwrap().shim.pid;
        waitpid(Pid::from_raw(shim), WaitOptions::empty()).unwrap();
        fs::remove_dir_all(self.directory).unwrap();
    }
}

/// A command that runs a container to its end.
fn peer(shop: &Shop, program: &str) -> Command {
    let id = shop.new_id();
    let bundle = shop.path(&format!("bundle-{id}"));
    fs::create_dir(&bundle).unwrap();
    let config = peer_spec(&shop.path("root"), &id).to_string();
    fs::write(bundle.join("config.json"), config).unwrap();
    let mut command = Command::new(program);
    command.arg("--root").arg(shop.path(program)).arg("run").arg("--bundle").arg(bundle).arg(id);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

fn peer_works(shop: &Shop, program: &str) -> Result<(), String> {
    let output = peer(shop, program).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or("failed").to_owned())
}

/// What the shim asks libcontainer for, as the peers read it.
fn peer_spec(root: &Path, id: &str) -> Value {
    let mount = |destination: &str, kind: &str, options: &[&str]| json!({ "destination": destination, "type": kind, "source": kind, "options": options });
    let capabilities = json!([
        "CAP_AUDIT_WRITE",
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FOWNER",
        "CAP_FSETID",
        "CAP_KILL",
        "CAP_NET_BIND_SERVICE",
        "CAP_SETFCAP",
        "CAP_SETGID",
        "CAP_SETPCAP",
        "CAP_SETUID",
        "CAP_SYS_CHROOT",
    ]);
    json!({
        "ociVersion": "1.0.2",
        "root": { "path": root, "readonly": true },
        "hostname": "bench",
        "process": {
            "user": { "uid": 0, "gid": 0 },
            "args": ["/bin/true"],
            "env": ["PATH=/usr/bin:/bin"],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities, "permitted": capabilities, "effective": capabilities,
            },
            "noNewPrivileges": true,
            "rlimits": [{ "type": "RLIMIT_NOFILE", "soft": 1024, "hard": 1024 }],
        },
        "mounts": [
            mount("/proc", "proc", &["nosuid", "nodev", "noexec"]),
            mount("/dev", "tmpfs", &["nosuid", "noexec", "strictatime", "mode=755", "size=64k"]),
            mount("/dev/pts", "devpts",
                &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
            mount("/dev/shm", "tmpfs", &["nosuid", "nodev", "noexec", "mode=1777", "size=64m"]),
            mount("/dev/mqueue", "mqueue", &["nosuid", "nodev", "noexec"]),
            mount("/sys", "sysfs", &["ro", "nosuid", "nodev", "noexec"]),
            mount("/sys/fs/cgroup", "cgroup", &["ro", "nosuid", "nodev", "noexec"]),
        ],
        "linux": {
            "namespaces": [
                { "type": "pid" }, { "type": "mount" }, { "type": "ipc" }, { "type": "uts" },
                { "type": "cgroup" },
            ],
            "cgroupsPath": Path::new(GROUP).join(id),
            "resources": {
                "devices": [{ "allow": false, "access": "rwm" }],
                "cpu": { "shares": 102, "quota": 100_000, "period": 100_000 },
                "memory": { "limit": MEMORY_BYTES, "swap": MEMORY_BYTES },
                "pids": { "limit": PIDS },
            },
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
                "/sys/devices/virtual/powercap", "/sys/firmware",
            ],
            "readonlyPaths": [
                "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
            ],
        },
    })
}

/// Copies a program of the host and the libraries it needs into `root`.
fn install(root: &Path, program: &str) {
    let needed = Command::new("ldd").arg(program).output().unwrap();
    let needed = String::from_utf8(needed.stdout).unwrap();
    let libraries = needed.split_whitespace().filter(|word| word.starts_with('/'));
    for file in libraries.chain([program]) {
        let target = root.join(file.strip_prefix('/').unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(file, target).unwrap();
    }
}
