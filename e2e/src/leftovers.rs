//! What is left of an agent's containers: the check for "leaves nothing behind", and the broom for
//! tests that fail.
//!
//! It looks at the machine and not at the agent's records: processes by their cgroup and by their
//! command line, cgroups on every hierarchy, mounts in the mount namespace of every process, and
//! directories whose name is a uid.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, Signal, kill_process};

/// How long the broom waits for killed processes to leave their cgroups.
const SWEEP_DEADLINE: Duration = Duration::from_secs(10);
/// Directories deeper than this below an agent's own are the content of sandboxes and images.
const MAX_DEPTH: usize = 5;

/// What was found; empty where nothing was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// Pid and command line.
    pub processes: Vec<String>,
    /// Directories below `/meseta/<agent>` of some hierarchy.
    pub cgroups: Vec<PathBuf>,
    /// Mount points beneath the agent's directory, with the process that sees them.
    pub mounts: Vec<String>,
    /// Directories of tasks and frameworks.
    pub directories: Vec<PathBuf>,
}

impl Leftovers {
    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Leftovers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing");
        }
        let Self { processes, cgroups, mounts, directories } = self;
        write!(
            f,
            "processes {processes:?}, cgroups {cgroups:?}, mounts {mounts:?}, directories {directories:?}"
        )
    }
}

/// What is there of the containers of `agent`, whose directory is `data_dir`.
pub(crate) fn leftovers(agent: &str, data_dir: &Path) -> Leftovers {
    let mut directories = Vec::new();
    uid_directories(data_dir, MAX_DEPTH, &mut directories);
    Leftovers {
        processes: container_processes(agent, data_dir)
            .into_iter()
            .map(|pid| format!("{pid} {}", command_line(pid)))
            .collect(),
        cgroups: containers(agent),
        mounts: mounts(data_dir),
        directories,
    }
}

/// Processes in a cgroup of the agent, and shims of its run directories.
pub(crate) fn container_processes(agent: &str, data_dir: &Path) -> Vec<u32> {
    let cgroup = Path::new("/meseta").join(agent);
    let data_dir = format!("{}/", data_dir.display());
    let is_shim = |pid: u32| is_shim(pid) && command_line(pid).contains(&data_dir);
    pids().filter(|pid| in_cgroup(*pid, &cgroup) || is_shim(*pid)).collect()
}

/// Shims that run a container of the agent whose directory is `data_dir`.
pub(crate) fn shims(data_dir: &Path) -> Vec<u32> {
    let data_dir = format!("{}/", data_dir.display());
    let is_first = |pid: u32| namespace_pids(pid).get(1).is_some_and(|inner| inner == "1");
    let shims = pids().filter(|pid| is_shim(*pid) && command_line(*pid).contains(&data_dir));
    // Not its launcher, and not a container that is about to be: a shim is the first process of a
    // pid namespace.
    shims.filter(|pid| namespace_pids(*pid).len() == 2 && is_first(*pid)).collect()
}

/// The ids of a process in each pid namespace that it is in, the outermost first.
fn namespace_pids(pid: u32) -> Vec<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    line.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

fn is_shim(pid: u32) -> bool {
    command_line(pid).split(' ').next().is_some_and(|program| program.ends_with("meseta-shim"))
}

fn in_cgroup(pid: u32, cgroup: &Path) -> bool {
    let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let mut paths = cgroups.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    paths.any(|path| Path::new(path).starts_with(cgroup))
}

/// Ends every process, cgroup and mount that is there of `agent`; for agents that run no more.
pub(crate) fn sweep(agent: &str, data_dir: &Path) {
    let begin = Instant::now();
    loop {
        let processes = container_processes(agent, data_dir);
        for pid in &processes {
            kill(*pid);
        }
        // Deepest first: a cgroup goes only without children.
        let mut groups = cgroups(agent);
        groups.sort_by_key(|path| std::cmp::Reverse(path.components().count()));
        groups.extend(roots(agent));
        let stay = groups.iter().filter(|group| fs::remove_dir(group).is_err()).count();
        if (processes.is_empty() && stay == 0) || begin.elapsed() > SWEEP_DEADLINE {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    for point in mount_points("/proc/self/mountinfo", data_dir).into_iter().rev() {
        // What cannot be unmounted is seen when the directory is removed.
        let _ = unmount(&point, UnmountFlags::DETACH);
    }
}

/// SIGKILL; a process that has ended already is as good.
pub(crate) fn kill(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn command_line(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

/// `/meseta/<agent>` on every hierarchy where it exists.
fn roots(agent: &str) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let hierarchies = table.lines().filter_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        kind.starts_with("cgroup").then(|| mount.split(' ').nth(4))?
    });
    let unique: BTreeSet<PathBuf> =
        hierarchies.map(|mount| Path::new(mount).join("meseta").join(agent)).collect();
    unique.into_iter().filter(|path| path.is_dir()).collect()
}

/// The groups below the agent's own. The one of the shims stays, empty, for the next of them.
fn containers(agent: &str) -> Vec<PathBuf> {
    let empty = |path: &Path| {
        fs::read_to_string(path.join("cgroup.procs")).is_ok_and(|pids| pids.is_empty())
    };
    let mut groups = cgroups(agent);
    groups.retain(|path| !(path.ends_with(Path::new(agent).join("shims")) && empty(path)));
    groups
}

fn cgroups(agent: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = roots(agent);
    while let Some(path) = open.pop() {
        let children = fs::read_dir(path).into_iter().flatten().flatten();
        let children = children.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        for child in children {
            found.push(child.path());
            open.push(child.path());
        }
    }
    found
}

/// Mount points beneath `directory` as each process sees them; a namespace is told once.
///
/// Containers and shims are left out: those of this agent are found as processes, and those of others
/// see a copy of the machine's mounts as of their start.
fn mounts(directory: &Path) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for pid in pids().filter(|pid| !is_shim(*pid) && !in_cgroup(*pid, Path::new("/meseta"))) {
        let Ok(namespace) = fs::read_link(format!("/proc/{pid}/ns/mnt")) else { continue };
        if !seen.insert(namespace) {
            continue;
        }
        let points = mount_points(&format!("/proc/{pid}/mountinfo"), directory);
        let points = points.into_iter().filter(|point| point != directory);
        found.extend(points.map(|point| format!("{} (pid {pid})", point.display())));
    }
    found
}

fn mount_points(table: &str, directory: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string(table).unwrap_or_default();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    points.filter(|point| point.starts_with(directory)).collect()
}

fn uid_directories(directory: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if entry.file_name().to_str().is_some_and(is_uid) {
            found.push(entry.path());
        } else if depth > 0 {
            uid_directories(&entry.path(), depth - 1, found);
        }
    }
}

/// Whether a name is, or begins with, a uid in its usual form.
fn is_uid(name: &str) -> bool {
    name.len() >= 36
        && name.bytes().take(36).enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_is_known_from_other_names() {
        assert!(is_uid("0b6c5d0e-7a55-4a5c-9a6f-0123456789ab"));
        assert!(is_uid("0b6c5d0e-7a55-4a5c-9a6f-0123456789ab-1"));
        assert!(!is_uid("layers"));
        assert!(!is_uid("0b6c5d0e_7a55_4a5c_9a6f_0123456789ab"));
    }
}
