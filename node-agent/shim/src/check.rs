//! What can be found wrong with a request before anything is made, said so that it can be put right.

use std::path::{Component, Path};

use meseta_shim_api::{Root, RunRequest};

use crate::error::{Context as _, Error};

/// libcontainer's two helpers and the program itself are processes of the container in turn, two at
/// a time.
const MIN_PIDS: u64 = 2;

/// Checks what the request says: an agent that is right never sends one that fails here.
pub(crate) fn check_request(request: &RunRequest) -> Result<(), Error> {
    check_id(&request.id)?;
    if request.args.is_empty() {
        return refused("there is no command to run");
    }
    let absolute = [
        ("working directory", &request.working_dir),
        ("cgroup", &request.cgroup),
        ("file for standard output", &request.stdout),
        ("file for standard error", &request.stderr),
    ];
    for (what, path) in absolute {
        check_path(what, path)?;
    }
    if request.cgroup.parent().is_none_or(|parent| parent.parent().is_none()) {
        return refused("the cgroup must lie below another one");
    }
    if let Some(pids) = request.limits.pids.filter(|&pids| pids < MIN_PIDS) {
        return refused(format!("a limit of {pids} processes is too small; at least {MIN_PIDS}"));
    }
    if request.limits.memory_bytes.is_some_and(|bytes| i64::try_from(bytes).is_err()) {
        return refused("the memory limit is larger than any memory");
    }
    for bind in &request.binds {
        check_path("mount point", &bind.target)?;
    }
    Ok(())
}

/// Checks that what the request names is there.
pub(crate) fn check_sources(request: &RunRequest) -> Result<(), Error> {
    for bind in &request.binds {
        bind.source
            .metadata()
            .context(|| format!("find what to mount at {}", bind.target.display()))?;
    }
    if let Root::Layers { lower, .. } = &request.root {
        for layer in lower {
            layer.metadata().context(|| format!("find the layer {}", layer.display()))?;
        }
    }
    Ok(())
}

/// The id becomes a file name.
fn check_id(id: &str) -> Result<(), Error> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if id.is_empty() || id.len() > 255 || !id.bytes().all(good) || id == "bundle" {
        return refused(format!("`{id}` is no container id"));
    }
    Ok(())
}

fn check_path(what: &str, path: &Path) -> Result<(), Error> {
    let upward = path.components().any(|component| component == Component::ParentDir);
    if path.is_absolute() && !upward {
        return Ok(());
    }
    refused(format!("the {what} must be an absolute path without `..`: {}", path.display()))
}

fn refused(why: impl Into<String>) -> Result<(), Error> {
    Err(Error::Refused(why.into()))
}
