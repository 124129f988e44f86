//! The container's control groups, by our own names, on every hierarchy there is.
//!
//! libcontainer makes them and sets the limits. What is here does not need its parsing of the whole
//! mount table: counting OOM kills, killing, removing. All of it works on cgroup v1, v2 and both
//! side by side.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::error::{Context as _, Error};

/// Where all hierarchies are mounted.
const ROOT: &str = "/sys/fs/cgroup";
/// `f_type` of a v1 hierarchy.
const CGROUP_MAGIC: u64 = 0x0027_e0eb;
/// `f_type` of the v2 hierarchy.
const CGROUP2_MAGIC: u64 = 0x6367_7270;
/// v1 hierarchies that a shim leaves its agent in: in a new cpuset group no process may be before
/// somebody gives it processors, and the rest is neither accounted nor killed by.
const JOINED: [&str; 5] = ["cpu", "memory", "pids", "systemd", "unified"];
/// Controllers whose groups a container sees on v1.
const SHOWN: [&str; 5] = ["cpu", "cpuacct", "cpuset", "memory", "pids"];
/// How deep groups below the container's are removed; its cgroup namespace is mounted read-only, so
/// normally there are none.
const MAX_DEPTH: usize = 16;
/// Attempts to remove a group whose last process is still on its way out, a pause apart: the kernel
/// lets go of a reaped process within some ticks.
const REMOVE_ATTEMPTS: u32 = 50;
const REMOVE_PAUSE: Duration = Duration::from_millis(10);

/// The mounted hierarchies.
pub(crate) struct Hierarchies(Vec<Hierarchy>);

struct Hierarchy {
    mount: PathBuf,
    version: Version,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl Hierarchies {
    /// Looks what this machine has.
    pub(crate) fn find() -> Result<Self, Error> {
        let root = Path::new(ROOT);
        if version_at(root) == Some(Version::Two) {
            return Ok(Self(vec![Hierarchy { mount: root.to_owned(), version: Version::Two }]));
        }
        let mut found = Vec::new();
        for entry in fs::read_dir(root).context(|| format!("list {ROOT}"))? {
            let entry = entry.context(|| format!("list {ROOT}"))?;
            // Names of controllers that share a hierarchy are symlinks to it.
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if let Some(version) = version_at(&entry.path()) {
                found.push(Hierarchy { mount: entry.path(), version });
            }
        }
        if found.is_empty() {
            return Err(Error::Refused(format!("no cgroup hierarchy is mounted in {ROOT}")));
        }
        Ok(Self(found))
    }

    /// Where `group` is on v1, for the controllers whose limits programs want to know; empty on v2.
    pub(crate) fn shown(&self, group: &Path) -> Vec<(&'static str, PathBuf)> {
        let of = |controller: &'static str| {
            let hierarchy = self.0.iter().find(|hierarchy| hierarchy.controls(controller))?;
            Some((controller, hierarchy.directory(group)))
        };
        SHOWN.into_iter().filter_map(of).collect()
    }

    /// Whether the limit on memory and swap together can be set.
    pub(crate) fn counts_swap(&self) -> bool {
        self.0.iter().any(|hierarchy| {
            hierarchy.version == Version::Two && hierarchy.is_alone()
                || hierarchy.mount.join("memory.memsw.limit_in_bytes").exists()
        })
    }

    /// Moves this process out of its agent's groups into `group`.
    pub(crate) fn join(&self, group: &Path) -> Result<(), Error> {
        for hierarchy in &self.0 {
            if !hierarchy.is_alone() && !JOINED.iter().any(|name| hierarchy.controls(name)) {
                continue;
            }
            let directory = hierarchy.directory(group);
            fs::create_dir_all(&directory).context(|| format!("make {}", directory.display()))?;
            // 0 is the process that writes.
            fs::write(directory.join("cgroup.procs"), "0")
                .context(|| format!("move the shim into {}", directory.display()))?;
        }
        Ok(())
    }

    /// Denies `group` any swap on cgroup v2, where a memory limit does not include it and
    /// libcontainer takes 0 for "unset".
    pub(crate) fn forbid_swap(&self, group: &Path) -> Result<(), Error> {
        for hierarchy in self.0.iter().filter(|hierarchy| hierarchy.is_alone()) {
            let file = hierarchy.directory(group).join("memory.swap.max");
            match fs::write(&file, "0") {
                // A kernel without swap.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => result.context(|| format!("write {}", file.display()))?,
            }
        }
        Ok(())
    }

    /// How many processes of `group` the kernel killed for want of memory.
    pub(crate) fn oom_kills(&self, group: &Path) -> u64 {
        let count = |hierarchy: &Hierarchy| {
            let file = match hierarchy.version {
                Version::One => "memory.oom_control",
                Version::Two => "memory.events",
            };
            let text = fs::read_to_string(hierarchy.directory(group).join(file)).ok()?;
            text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
        };
        self.0.iter().find_map(count).unwrap_or(0)
    }

    /// The processes of `group` that are in the shim's pid namespace.
    pub(crate) fn processes(&self, group: &Path) -> BTreeSet<i32> {
        let mut pids = BTreeSet::new();
        for hierarchy in &self.0 {
            let listing = hierarchy.directory(group).join("cgroup.procs");
            let Ok(text) = fs::read_to_string(listing) else { continue };
            pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
        }
        // A process of another pid namespace, which we did not start, shows as 0.
        pids.remove(&0);
        pids
    }

    /// Sends SIGKILL to every process of `group` that is in the shim's pid namespace.
    pub(crate) fn kill(&self, group: &Path) {
        for pid in self.processes(group).into_iter().filter_map(Pid::from_raw) {
            // It may have ended meanwhile.
            let _ = kill_process(pid, Signal::KILL);
        }
    }

    /// Removes `group` and what was made below it, and says what could not be removed.
    pub(crate) fn remove(&self, group: &Path) -> Vec<String> {
        let removed = |hierarchy: &Hierarchy| {
            let directory = hierarchy.directory(group);
            let error = remove_tree(&directory).err()?;
            Some(format!("cannot remove {}: {error}", directory.display()))
        };
        self.0.iter().filter_map(removed).collect()
    }
}

impl Hierarchy {
    /// `group` is absolute; it goes below the mount point.
    fn directory(&self, group: &Path) -> PathBuf {
        self.mount.join(group.strip_prefix("/").unwrap_or(group))
    }

    /// Whether this is cgroup v2 with nothing beside it.
    fn is_alone(&self) -> bool {
        self.mount == Path::new(ROOT)
    }

    /// Whether the v1 hierarchy has this controller: several are joined by commas.
    fn controls(&self, name: &str) -> bool {
        let mount = self.mount.file_name().and_then(|mount| mount.to_str()).unwrap_or_default();
        mount.split(',').any(|controller| controller == name)
    }
}

fn version_at(path: &Path) -> Option<Version> {
    match u64::try_from(rustix::fs::statfs(path).ok()?.f_type).ok()? {
        CGROUP_MAGIC => Some(Version::One),
        CGROUP2_MAGIC => Some(Version::Two),
        _ => None,
    }
}

fn remove_tree(directory: &Path) -> io::Result<()> {
    let mut attempt = 1;
    loop {
        let result = match fs::remove_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                remove_below(directory, MAX_DEPTH)?;
                fs::remove_dir(directory)
            }
            result => result,
        };
        match result {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error)
                if error.kind() == io::ErrorKind::ResourceBusy && attempt < REMOVE_ATTEMPTS =>
            {
                attempt += 1;
                thread::sleep(REMOVE_PAUSE);
            }
            result => return result,
        }
    }
}

/// Removes the groups below `directory`, the deepest first.
fn remove_below(directory: &Path, depth: usize) -> io::Result<()> {
    let Some(depth) = depth.checked_sub(1) else { return Ok(()) };
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_below(&entry.path(), depth)?;
            // One that is still busy makes its parent busy, which is tried again.
            let _ = fs::remove_dir(entry.path());
        }
    }
    Ok(())
}
