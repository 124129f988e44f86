//! What a task's container is to be like: from spec and image to the request to the shim. Pure.
//!
//! A container without an image sees the host's file system, read-only, and its sandbox; one with
//! an image sees that, and the same sandbox at the same place:
//!
//! ```text
//! /run/meseta/sandbox      the sandbox, writable: $MESETA_SANDBOX, working directory
//! <mountPath>              volumes
//! ```

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use meseta_crds::quantity::ResourceList;
use meseta_crds::task::{Container, reason};
use meseta_crds::{TaskSpec, validate};
use meseta_shim_api::Limits;

use super::outcome::Failure;
use crate::images::{Account, ImageConfig};

/// Where a container sees its sandbox.
pub(crate) const SANDBOX_MOUNT: &str = "/run/meseta/sandbox";
/// Search path where neither task nor image has one; as Docker's.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What must not be a working directory: windows into other processes (CVE-2024-21626).
const CLOSED_DIRECTORIES: [&str; 3] = ["/proc", "/sys", "/dev"];
/// The longest name a host can have.
const MAX_HOSTNAME_BYTES: usize = 63;

/// Program and arguments.
///
/// # Errors
/// Neither the task nor the image names a program.
pub(crate) fn arguments(
    container: &Container,
    image: Option<&ImageConfig>,
) -> Result<Vec<String>, Failure> {
    let mut arguments = Vec::new();
    if !container.command.is_empty() {
        arguments.extend(container.command.iter().cloned());
        arguments.extend(container.args.iter().cloned());
    } else if let Some(image) = image {
        arguments.extend(image.entrypoint.iter().flatten().cloned());
        if container.args.is_empty() {
            arguments.extend(image.cmd.iter().flatten().cloned());
        } else {
            arguments.extend(container.args.iter().cloned());
        }
    }
    if arguments.first().is_none_or(String::is_empty) {
        let message = "neither the task nor its image names a program to run";
        return Err(Failure::new(reason::COMMAND_NOT_FOUND, message));
    }
    Ok(arguments)
}

/// The whole environment; later sources win: defaults, image, Meseta with what is its `own` of this
/// task, task.
pub(crate) fn environment(
    container: &Container,
    image: Option<&ImageConfig>,
    account: &Account,
    own: &[(String, String)],
    hostname: &str,
) -> Vec<(String, String)> {
    let mut environment = Environment::default();
    environment.set("PATH", DEFAULT_PATH);
    match image {
        Some(image) => {
            environment.set("HOME", &account.home);
            for variable in image.env.iter().flatten() {
                if let Some((name, value)) = variable.split_once('=') {
                    environment.set(name, value);
                }
            }
        }
        None => {
            // The host's file system is read-only: the sandbox is the place to write to.
            environment.set("HOME", SANDBOX_MOUNT);
            environment.set("TMPDIR", SANDBOX_MOUNT);
        }
    }
    environment.set("HOSTNAME", hostname);
    environment.set("MESETA_SANDBOX", SANDBOX_MOUNT);
    for (name, value) in own {
        environment.set(name, value);
    }
    for variable in &container.env {
        environment.set(&variable.name, &variable.value);
    }
    environment.0
}

/// Variables in the order of their first mention, each once.
#[derive(Default)]
struct Environment(Vec<(String, String)>);

impl Environment {
    fn set(&mut self, name: &str, value: &str) {
        // A NUL would cut the text where the kernel reads it.
        if name.is_empty() || name.contains('\0') || value.contains('\0') {
            return;
        }
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => value.clone_into(known),
            None => self.0.push((name.to_owned(), value.to_owned())),
        }
    }
}

/// The working directory: the task's, the image's, or the sandbox.
///
/// # Errors
/// It is none that a container may begin in.
pub(crate) fn working_directory(
    container: &Container,
    image: Option<&ImageConfig>,
) -> Result<PathBuf, Failure> {
    let of_image = image.and_then(|image| image.working_dir.as_deref()).filter(|d| !d.is_empty());
    let Some(text) = container.working_dir.as_deref().or(of_image) else {
        return Ok(PathBuf::from(SANDBOX_MOUNT));
    };
    let mut directory = PathBuf::from("/");
    for component in Path::new(text).components() {
        match component {
            Component::Normal(name) => directory.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(no_directory(text, "climbs with `..`"));
            }
        }
    }
    if text.contains('\0') || !text.starts_with('/') {
        return Err(no_directory(text, "is not an absolute path"));
    }
    if CLOSED_DIRECTORIES.iter().any(|closed| directory.starts_with(closed)) {
        return Err(no_directory(text, "is not one a container may begin in"));
    }
    Ok(directory)
}

fn no_directory(directory: &str, why: &str) -> Failure {
    Failure::new(reason::START_FAILED, format!("the working directory `{directory}` {why}"))
}

/// What the container may use.
///
/// # Errors
/// An amount is none; validation has seen to that before.
pub(crate) fn limits(spec: &TaskSpec) -> Result<Limits, Failure> {
    let memory = spec.limits.get("memory").or_else(|| spec.resources.get("memory"));
    let memory = memory.map(|amount| amount.units()).transpose().map_err(|err| amount(&err))?;
    let pids = match spec.limits.get("pids") {
        Some(pids) => pids.units().map_err(|err| amount(&err))?,
        None => validate::DEFAULT_PIDS_LIMIT,
    };
    let millis = |list: &ResourceList| {
        list.get("cpu").map(|cpu| cpu.millis()).transpose().map_err(|err| amount(&err))
    };
    let unsigned = |value: i64| u64::try_from(value).unwrap_or(0);
    Ok(Limits {
        cpu_share_millis: millis(&spec.resources)?.map_or(0, unsigned),
        cpu_limit_millis: millis(&spec.limits)?.map(unsigned),
        memory_bytes: memory.map(unsigned),
        pids: Some(unsigned(pids)),
    })
}

fn amount(err: &dyn std::error::Error) -> Failure {
    Failure::new(reason::INVALID_SPEC, err.to_string())
}

/// Amounts of a list in thousandths; what is no amount counts as nothing, as validation refuses it.
pub(crate) fn millis(list: &ResourceList) -> BTreeMap<String, i64> {
    let amounts = list.iter();
    amounts.map(|(name, amount)| (name.clone(), amount.millis().unwrap_or(0))).collect()
}

/// The name of the host in the container: that of the task, as far as a host name goes.
pub(crate) fn hostname(task_name: &str) -> String {
    let end = task_name.len().min(MAX_HOSTNAME_BYTES);
    // Names of records are ASCII.
    let name = task_name.get(..end).unwrap_or("task");
    name.trim_end_matches(['.', '-']).to_owned()
}

/// Mounts in an order in which none hides another that is mounted beneath it.
pub(crate) fn in_mount_order<T>(mounts: &mut [T], target: impl Fn(&T) -> &Path) {
    mounts.sort_by_key(|mount| target(mount).components().count());
}

#[cfg(test)]
mod tests;
