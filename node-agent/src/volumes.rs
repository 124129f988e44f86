//! Volumes: directories that tasks share, and paths of the host.
//!
//! ```text
//! volumes/<framework uid>/owner.json        whose they are
//!                         data/<volume>/    what tasks mount, writable for every user
//! ```
//!
//! A shared volume is made by the first task of a framework that names it. It goes when no task of
//! that framework is left on this agent *and* the framework's record, of this very uid, does not
//! exist: as long as it exists, another task may come. Where the records may have been lost (the
//! agent's own record is another than before) nothing is removed for a day.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kube::{Api, Client};
use meseta_crds::Framework;
use meseta_crds::task::TaskOwner;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::checkpoint;
use crate::directory::{Directory, is_usable_uid, make_private, names};

/// What must not be mounted, as validation has it for the text of a path; here for where it leads.
const CLOSED_HOST_PATHS: [&str; 3] = ["/proc", "/sys", "/dev"];
const OWNER_FILE: &str = "owner.json";
/// Everybody may write: tasks of one framework may run as different users.
const SHARED_MODE: u32 = 0o777;

/// The framework that volumes belong to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Owner {
    /// Namespace of the framework.
    pub(crate) namespace: String,
    /// Name of the framework.
    pub(crate) framework: String,
    /// Uid of the framework.
    pub(crate) uid: String,
}

/// The shared volumes of an agent.
pub(crate) struct Volumes {
    directory: Arc<Directory>,
}

impl Volumes {
    pub(crate) fn new(directory: Arc<Directory>) -> Self {
        Self { directory }
    }

    /// The directory of a shared volume, made where there is none.
    ///
    /// # Errors
    /// The file system refused, or the owner's uid cannot be the name of a directory.
    pub(crate) fn prepare(
        &self,
        namespace: &str,
        owner: &TaskOwner,
        volume: &str,
    ) -> io::Result<PathBuf> {
        let uid = &owner.framework_uid;
        if !is_usable_uid(uid) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the framework has no uid"));
        }
        let root = self.directory.volumes().join(uid);
        make_private(&root)?;
        let owner_file = root.join(OWNER_FILE);
        if !owner_file.try_exists()? {
            let owner = Owner {
                namespace: namespace.to_owned(),
                framework: owner.framework.clone(),
                uid: uid.clone(),
            };
            // Others may do the same at the same time, with the same content.
            let temporary = self.directory.new_temporary();
            checkpoint::write(&temporary, &owner)?;
            fs::rename(&temporary, &owner_file)?;
        }
        make_private(&root.join("data"))?;
        let path = root.join("data").join(volume);
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

    /// The frameworks that have volumes here, except those whose uid is in `used`.
    ///
    /// # Errors
    /// The file system refused.
    pub(crate) fn unused(&self, used: &BTreeSet<String>) -> io::Result<Vec<Owner>> {
        let root = self.directory.volumes();
        let uids = names(&root)?;
        let unused = uids.iter().filter_map(|uid| uid.to_str()).filter(|uid| !used.contains(*uid));
        let owners = unused.map(|uid| checkpoint::read(&root.join(uid).join(OWNER_FILE)));
        owners.filter_map(Result::transpose).collect()
    }

    /// Puts the volumes of a framework aside; where, for the removal in earnest.
    ///
    /// # Errors
    /// The file system refused.
    pub(crate) fn put_aside(&self, uid: &str) -> io::Result<PathBuf> {
        let aside = self.directory.new_temporary();
        fs::rename(self.directory.volumes().join(uid), &aside)?;
        Ok(aside)
    }
}

/// Whether the framework, this very one, does not exist. An answer that does not come is no proof.
pub(crate) async fn is_gone(client: &Client, owner: &Owner) -> bool {
    let frameworks: Api<Framework> = Api::namespaced(client.clone(), &owner.namespace);
    match frameworks.get_metadata_opt(&owner.framework).await {
        Ok(found) => found.is_none_or(|found| found.metadata.uid.as_ref() != Some(&owner.uid)),
        Err(err) => {
            let error = &err as &dyn std::error::Error;
            tracing::debug!(error, framework = owner.framework, "framework not looked up");
            false
        }
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
    fn a_volume_is_one_for_all_tasks_of_a_framework() {
        let root = tempfile::tempdir().unwrap();
        let directory = Arc::new(Directory::open(root.path()).unwrap());
        let volumes = Volumes::new(directory);
        let owner = TaskOwner {
            framework: "job".to_owned(),
            framework_uid: "uid-1".to_owned(),
            ..TaskOwner::default()
        };
        let first = volumes.prepare("default", &owner, "a").unwrap();
        fs::write(first.join("f"), "x").unwrap();
        assert_eq!(volumes.prepare("default", &owner, "a").unwrap(), first);
        assert!(first.join("f").exists());
        assert_ne!(volumes.prepare("default", &owner, "b").unwrap(), first);

        let used = BTreeSet::from(["uid-1".to_owned()]);
        assert_eq!(volumes.unused(&used).unwrap(), []);
        let unused = volumes.unused(&BTreeSet::new()).unwrap();
        assert_eq!(unused.len(), 1);
        assert_eq!(unused[0].framework, "job");
        volumes.put_aside("uid-1").unwrap();
        assert_eq!(volumes.unused(&BTreeSet::new()).unwrap(), []);
        let hostile = TaskOwner { framework_uid: "../x".to_owned(), ..owner };
        assert!(volumes.prepare("default", &hostile, "a").is_err());
    }
}
