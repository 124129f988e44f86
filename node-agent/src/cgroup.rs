//! Control groups, found on the machine: what there is, and what a dead shim left in them.
//!
//! Containers are put into their groups by the shim. The agent only looks, and ends and removes by
//! the name that it gave: `/meseta/<agent>/<container id>`, on every hierarchy there is.
//!
//! ```text
//! v1      /sys/fs/cgroup/<controller>/meseta/…        one tree per controller
//! hybrid  the same, and /sys/fs/cgroup/unified/meseta/… without controllers
//! v2      /sys/fs/cgroup/meseta/…                     one tree for all
//! ```
//!
//! **Invariant:** a signal goes only to a process that was seen in the group after it was pinned by a
//! pidfd.

mod limits;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// How long the processes of a group may take to die after SIGKILL.
const KILL_PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two looks at a group that is being ended.
const KILL_INTERVAL: Duration = Duration::from_millis(5);
/// Rounds after which a group is frozen while it is killed: somebody forks faster than we kill.
const ROUNDS_BEFORE_FREEZE: u32 = 3;
/// The deepest group that is looked into; a workload can make groups of its own.
const MAX_DEPTH: usize = 32;

/// The hierarchies of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cgroups {
    mode: Mode,
    roots: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    V1,
    Hybrid,
    V2,
}

impl Cgroups {
    /// Looks at the mounts of this process.
    ///
    /// # Errors
    /// There is no `/proc`, or no hierarchy is mounted.
    pub(crate) fn detect() -> io::Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        Self::from_mounts(&mounts).ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, "no cgroup hierarchy is mounted")
        })
    }

    fn from_mounts(mountinfo: &str) -> Option<Self> {
        let mut v1 = Vec::new();
        let mut v2 = Vec::new();
        for line in mountinfo.lines() {
            // <id> <parent> <device> <root> <mount point> <options> … - <type> <source> <options>
            let Some((place, kind)) = line.split_once(" - ") else { continue };
            let Some(mount_point) = place.split(' ').nth(4) else { continue };
            let roots = match kind.split(' ').next() {
                Some("cgroup") => &mut v1,
                Some("cgroup2") => &mut v2,
                _ => continue,
            };
            // The same tree may be mounted for others elsewhere.
            if mount_point.starts_with("/sys/fs/cgroup") {
                roots.push(PathBuf::from(mount_point));
            }
        }
        let mode = match (v1.is_empty(), v2.is_empty()) {
            (true, true) => return None,
            (true, false) => Mode::V2,
            (false, true) => Mode::V1,
            (false, false) => Mode::Hybrid,
        };
        v1.append(&mut v2);
        Some(Self { mode, roots: v1 })
    }

    /// `v1`, `hybrid` or `v2`.
    pub(crate) fn mode(&self) -> &'static str {
        match self.mode {
            Mode::V1 => "v1",
            Mode::Hybrid => "hybrid",
            Mode::V2 => "v2",
        }
    }

    /// Where `group` is on each hierarchy that has it.
    fn places(&self, group: &Path) -> Vec<PathBuf> {
        let relative = group.strip_prefix("/").unwrap_or(group);
        let places = self.roots.iter().map(|root| root.join(relative));
        places.filter(|place| place.is_dir()).collect()
    }

    /// The names of the groups right beneath `group`, on any hierarchy.
    pub(crate) fn children(&self, group: &Path) -> BTreeSet<String> {
        let mut children = BTreeSet::new();
        for place in self.places(group) {
            let names = subgroups(&place).into_iter();
            children.extend(names.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())));
        }
        children
    }

    /// Removes `group` and those right beneath it where they are empty, and nothing else.
    pub(crate) fn remove_empty(&self, group: &Path) {
        for place in self.places(group) {
            for child in subgroups(&place) {
                // The kernel keeps what is in use.
                drop(fs::remove_dir(child));
            }
            drop(fs::remove_dir(place));
        }
    }

    /// Whether a process is in `group` or beneath it.
    pub(crate) fn is_populated(&self, group: &Path) -> bool {
        self.places(group).iter().any(|place| !pids(&tree(place)).is_empty())
    }

    /// Kills every process in `group` and beneath, and removes the groups. Blocks for up to
    /// [`KILL_PATIENCE`]; nothing to do where there is no such group.
    ///
    /// # Errors
    /// Processes survive, or the kernel refused.
    pub(crate) fn destroy(&self, group: &Path) -> io::Result<()> {
        let begin = Instant::now();
        let mut round = 0;
        loop {
            let places = self.places(group);
            let trees: Vec<Vec<PathBuf>> = places.iter().map(|place| tree(place)).collect();
            if trees.is_empty() {
                return Ok(());
            }
            let all: Vec<PathBuf> = trees.into_iter().flatten().collect();
            let freeze = round >= ROUNDS_BEFORE_FREEZE;
            if freeze {
                set_frozen(&all, true);
            }
            for pid in pids(&all) {
                kill_member(pid, group);
            }
            if freeze {
                set_frozen(&all, false);
            }
            let removed = remove(&all);
            if removed.is_ok() || begin.elapsed() > KILL_PATIENCE {
                return removed;
            }
            round += 1;
            std::thread::sleep(KILL_INTERVAL);
        }
    }
}

/// `place` and all groups beneath it, each before those beneath it.
fn tree(place: &Path) -> Vec<PathBuf> {
    let mut found = vec![place.to_owned()];
    let mut level = vec![place.to_owned()];
    for _ in 0..MAX_DEPTH {
        level = level.iter().flat_map(|group| subgroups(group)).collect();
        if level.is_empty() {
            break;
        }
        found.extend(level.iter().cloned());
    }
    found
}

fn subgroups(group: &Path) -> Vec<PathBuf> {
    // A group that has just gone has none.
    let Ok(entries) = fs::read_dir(group) else { return Vec::new() };
    let directories = entries.flatten().filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir()));
    directories.map(|entry| entry.path()).collect()
}

fn pids(groups: &[PathBuf]) -> BTreeSet<i32> {
    let mut pids = BTreeSet::new();
    for group in groups {
        let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
    }
    pids
}

/// Kills the process if it is a member of `group` still.
fn kill_member(pid: i32, group: &Path) {
    let Some(raw) = Pid::from_raw(pid) else { return };
    let Ok(pinned) = pidfd_open(raw, PidfdFlags::empty()) else { return };
    let groups = fs::read(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    if is_member(&groups, group) {
        // It may have ended meanwhile; the next round sees what is left.
        let _ = pidfd_send_signal(&pinned, Signal::KILL);
    }
}

/// Whether one of the lines `<id>:<controllers>:<path>` is of `group` or beneath it.
fn is_member(proc_cgroup: &[u8], group: &Path) -> bool {
    let group = group.as_os_str().as_bytes();
    proc_cgroup.split(|byte| *byte == b'\n').any(|line| {
        let path = line.splitn(3, |byte| *byte == b':').nth(2).unwrap_or_default();
        path.strip_prefix(group).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    })
}

/// Stops or resumes all processes, where the hierarchy can: best effort, the kill comes anyway.
fn set_frozen(groups: &[PathBuf], frozen: bool) {
    for group in groups {
        let (v1, v2) = if frozen { ("FROZEN", "1") } else { ("THAWED", "0") };
        for (file, value) in [("freezer.state", v1), ("cgroup.freeze", v2)] {
            let path = group.join(file);
            if path.exists() {
                drop(fs::write(path, value));
            }
        }
    }
}

/// Removes the groups, the deepest first.
fn remove(groups: &[PathBuf]) -> io::Result<()> {
    for group in groups.iter().rev() {
        match fs::remove_dir(group) {
            Ok(()) => {}
            Err(err) if err.kind() == io::ErrorKind::NotFound => {}
            Err(err) if err.raw_os_error() == Some(Errno::NODEV.raw_os_error()) => {}
            Err(err) => return Err(err),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str =
        "31 30 0:27 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu\n";
    const UNIFIED: &str =
        "32 30 0:28 / /sys/fs/cgroup/unified rw,relatime shared:10 - cgroup2 cgroup2 rw\n";
    const OTHER: &str = "33 30 0:29 / /proc rw - proc proc rw\n";

    #[test]
    fn the_mode_is_seen_in_the_mounts() {
        let mode = |text: &str| Cgroups::from_mounts(text).map(|found| found.mode());
        assert_eq!(mode(&format!("{V1}{OTHER}")), Some("v1"));
        assert_eq!(mode(&format!("{V1}{UNIFIED}")), Some("hybrid"));
        assert_eq!(mode(UNIFIED), Some("v2"));
        assert_eq!(mode(OTHER), None);
    }

    #[test]
    fn membership_is_of_whole_names() {
        let member = |text: &str| is_member(text.as_bytes(), Path::new("/meseta/a/1"));
        assert!(member("8:pids:/meseta/a/1\n"));
        assert!(member("1:cpu:/x\n8:pids:/meseta/a/1/child\n"));
        assert!(!member("8:pids:/meseta/a/10\n0::/\n"));
        assert!(!member(""));
    }

    #[test]
    fn a_group_is_ended_with_all_that_is_in_it() {
        let cgroups = Cgroups::detect().unwrap();
        let group = PathBuf::from(format!("/meseta/test-{}/a", std::process::id()));
        let places: Vec<PathBuf> = cgroups
            .roots
            .iter()
            .filter(|root| !root.ends_with("cpuset"))
            .map(|root| root.join(group.strip_prefix("/").unwrap()))
            .collect();
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        for place in &places {
            fs::create_dir_all(place.join("nested")).unwrap();
            fs::write(place.join("nested/cgroup.procs"), child.id().to_string()).unwrap();
        }
        assert!(cgroups.is_populated(&group));
        assert_eq!(cgroups.children(&group).into_iter().collect::<Vec<_>>(), ["nested"]);
        let waiter = std::thread::spawn(move || child.wait().unwrap());
        cgroups.destroy(&group).unwrap();
        assert!(!waiter.join().unwrap().success());
        assert!(cgroups.places(&group).is_empty());
        let parent = group.parent().unwrap();
        cgroups.remove_empty(parent);
        assert!(cgroups.places(parent).is_empty());
    }
}
