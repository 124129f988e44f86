//! Volumes: directories that tasks share, and paths of the host.
//!
//! ```text
//! volumes/<framework uid>/<volume>/    what tasks mount, writable for every user
//! ```
//!
//! A shared volume is made by the first task of a framework that names it, and removed with the
//! framework. An agent does not see frameworks, only its own tasks; but a framework's finished tasks
//! are kept as long as it is, so the last record of its tasks goes with it. After that the volume is
//! kept for [`LINGER`], because a task that somebody deletes by hand is made again. Where records may
//! have been lost (the agent's own is another than before) nothing is removed for a day.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use meseta_crds::task::TaskOwner;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::directory::{Directory, is_usable_uid, make_private, names};

/// What must not be mounted, as validation has it for the text of a path; here for where it leads.
const CLOSED_HOST_PATHS: [&str; 3] = ["/proc", "/sys", "/dev"];
/// Everybody may write: tasks of one framework may run as different users.
const SHARED_MODE: u32 = 0o777;

/// How long volumes are kept after the last task of their framework is gone. The framework makes a
/// deleted task again at once, and it is placed within moments.
const LINGER: Duration = Duration::from_secs(10);

/// The shared volumes of an agent.
pub(crate) struct Volumes {
    directory: Arc<Directory>,
    /// Since when a framework with volumes has no task here.
    unused_since: Mutex<BTreeMap<String, Instant>>,
}

impl Volumes {
    pub(crate) fn new(directory: Arc<Directory>) -> Self {
        Self { directory, unused_since: Mutex::default() }
    }

    /// The directory of a shared volume, made where there is none.
    ///
    /// # Errors
    /// The file system refused, or the owner's uid cannot be the name of a directory.
    pub(crate) fn prepare(&self, owner: &TaskOwner, volume: &str) -> io::Result<PathBuf> {
        let uid = &owner.framework_uid;
        if !is_usable_uid(uid) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the framework has no uid"));
        }
        let root = self.directory.volumes().join(uid);
        make_private(&root)?;
        let path = root.join(volume);
        if !path.try_exists()? {
            // Never seen half made, and never made twice.
            let temporary = self.directory.new_temporary();
            make_private(&temporary)?;
            fs::set_permissions(&temporary, Permissions::from_mode(SHARED_MODE))?;
            match renameat_with(CWD, &temporary, CWD, &path, RenameFlags::NOREPLACE) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(err) => return Err(err.into()),
            }
        }
        Ok(path)
    }

    /// Puts the volumes of frameworks aside that are not in `used` and were not for [`LINGER`];
    /// where they are now, for the removal in earnest.
    ///
    /// # Errors
    /// The file system refused.
    pub(crate) fn collect(
        &self,
        used: &BTreeSet<String>,
        now: Instant,
    ) -> io::Result<Vec<PathBuf>> {
        let root = self.directory.volumes();
        let uids = names(&root)?;
        let uids: BTreeSet<&str> = uids.iter().filter_map(|uid| uid.to_str()).collect();
        let mut unused_since = self.unused_since.lock().unwrap_or_else(PoisonError::into_inner);
        unused_since.retain(|uid, _| uids.contains(uid.as_str()) && !used.contains(uid));
        let mut aside = Vec::new();
        for uid in uids.into_iter().filter(|uid| !used.contains(*uid)) {
            let since = *unused_since.entry(uid.to_owned()).or_insert(now);
            if now.duration_since(since) >= LINGER {
                let path = self.directory.new_temporary();
                fs::rename(root.join(uid), &path)?;
                tracing::info!(framework_uid = uid, "volumes removed: their framework is gone");
                aside.push(path);
            }
        }
        Ok(aside)
    }
}

/// Why a path of the host cannot be mounted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HostPathError {
    /// It is not there, or leads nowhere.
    #[error("cannot find `{path}` on this agent")]
    NotFound {
        /// As the task has it.
        path: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// It leads to something that no task is given.
    #[error("`{path}` leads to `{}`, which no task may mount", found.display())]
    Closed {
        /// As the task has it.
        path: String,
        /// Where it leads.
        found: PathBuf,
    },
    /// It is a socket, a device or a pipe.
    #[error("`{path}` is neither a directory nor a file")]
    Special {
        /// As the task has it.
        path: String,
    },
}

/// Where a path of the host leads, links followed: they are the host's own. What is mounted is that
/// place, and it must not be, contain or lie in what is `hidden` from tasks.
///
/// # Errors
/// There is nothing, or nothing that may be mounted.
pub(crate) fn host_path(path: &str, hidden: &[PathBuf]) -> Result<PathBuf, HostPathError> {
    let not_found = |source| HostPathError::NotFound { path: path.to_owned(), source };
    let found = fs::canonicalize(path).map_err(not_found)?;
    let overlaps = |other: &Path| found.starts_with(other) || other.starts_with(&found);
    let closed = CLOSED_HOST_PATHS.iter().any(|closed| overlaps(Path::new(closed)))
        || hidden.iter().any(|hidden| overlaps(hidden));
    if closed {
        return Err(HostPathError::Closed { path: path.to_owned(), found });
    }
    let kind = fs::metadata(&found).map_err(not_found)?;
    if kind.is_dir() || kind.is_file() {
        Ok(found)
    } else {
        Err(HostPathError::Special { path: path.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_host_path_leads_nowhere_that_is_hidden() {
        let root = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(root.path()).unwrap();
        let hidden = vec![root.join("own")];
        fs::create_dir_all(root.join("own/tasks")).unwrap();
        fs::create_dir(root.join("data")).unwrap();
        symlink(root.join("own/tasks"), root.join("link")).unwrap();
        symlink("/proc/1", root.join("proc")).unwrap();
        let check = |name: &str| host_path(root.join(name).to_str().unwrap(), &hidden);
        assert_eq!(check("data").unwrap(), root.join("data"));
        for name in ["link", "own", "own/tasks", ".", "proc"] {
            assert!(matches!(check(name), Err(HostPathError::Closed { .. })), "{name}");
        }
        assert!(matches!(check("absent"), Err(HostPathError::NotFound { .. })));
        let socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
        assert!(matches!(check("socket"), Err(HostPathError::Special { .. })));
        drop(socket);
    }

    #[test]
    fn a_volume_is_one_for_all_tasks_of_a_framework_and_goes_after_them() {
        let root = tempfile::tempdir().unwrap();
        let directory = Arc::new(Directory::open(root.path()).unwrap());
        let volumes = Volumes::new(directory);
        let owner = TaskOwner { framework_uid: "uid-1".to_owned(), ..TaskOwner::default() };
        let first = volumes.prepare(&owner, "a").unwrap();
        fs::write(first.join("f"), "x").unwrap();
        assert_eq!(volumes.prepare(&owner, "a").unwrap(), first);
        assert_eq!(fs::read_to_string(first.join("f")).unwrap(), "x");
        assert_ne!(volumes.prepare(&owner, "b").unwrap(), first);
        let hostile = TaskOwner { framework_uid: "../x".to_owned(), ..TaskOwner::default() };
        assert!(volumes.prepare(&hostile, "a").is_err());

        let used = BTreeSet::from(["uid-1".to_owned()]);
        let begin = Instant::now();
        let collect = |used: &BTreeSet<String>, after: Duration| {
            volumes.collect(used, begin + after).unwrap().len()
        };
        assert_eq!(collect(&BTreeSet::new(), Duration::ZERO), 0);
        assert_eq!(collect(&used, LINGER / 2), 0, "another task has come");
        assert_eq!(collect(&BTreeSet::new(), LINGER), 0, "the time begins anew");
        assert_eq!(collect(&BTreeSet::new(), LINGER * 2), 1);
        assert!(!first.exists());
    }
}
