//! Prepares a run: image, sandbox, volumes, and the request to the shim.
//!
//! Everything is made in the task's own directory, or shared and made in one step, so that a run
//! that is not started leaves nothing that the next attempt or the end of the task does not remove.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use meseta_crds::task::{Container, Volume, reason};
use meseta_shim_api::{Bind, Root, RunRequest};
use rustix::io::Errno;

use super::drive::Staged;
use super::outcome::Failure;
use super::request::{self, SANDBOX_MOUNT};
use super::run::chain;
use crate::checkpoint::Accepted;
use crate::directory::{Stream, make_private};
use crate::images::{self, Account, Image, Pin};
use crate::node::{Node, blocking, run_id};
use crate::sandbox;
use crate::volumes;

/// Bytes of a stream that are kept, twice: the current file and the one before it.
const OUTPUT_LIMIT_BYTES: u64 = 10 * 1024 * 1024;
/// Files of the host that an image's container gets: names are resolved as on the host.
const HOST_FILES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

/// Prepares the run that `accepted` is at.
///
/// Dropping the future leaves parts behind in the task's directory; staging again begins anew.
pub(super) async fn stage(node: Arc<Node>, accepted: Accepted) -> Staged {
    let staged = prepare_run(&node, &accepted).await?;
    if accepted.spec.executor.is_some() {
        if node.mesos.executors().is_none() {
            let message = "this agent has no API for executors";
            return Err(Failure::new(reason::START_FAILED, message));
        }
        node.mesos.expect(&accepted).await;
    }
    Ok(staged)
}

async fn prepare_run(node: &Arc<Node>, accepted: &Accepted) -> Staged {
    let _slot = node.stagings.acquire().await.expect("the semaphore is never closed");
    let container = container(accepted)?;
    let image = match &container.image {
        Some(reference) => {
            Some(node.images.prepare(reference).await.map_err(|err| image_failure(&err))?)
        }
        None => None,
    };
    let (stager, accepted) = (Arc::clone(node), accepted.clone());
    blocking(move || {
        let request = prepare(&stager, &accepted, image.as_ref())?;
        Ok((request, image.map(|image| image.pin)))
    })
    .await
}

/// Keeps the layers of a run that was started before.
pub(super) fn pin(node: &Node, accepted: &Accepted) -> Option<Pin> {
    let run = node.directory.task(&accepted.uid).run(accepted.run);
    let request = crate::checkpoint::read(&run.join(meseta_shim_api::RUN_FILE)).ok().flatten();
    match request.map(|request: RunRequest| request.root)? {
        Root::Layers { lower, .. } => Some(node.images.pin(&lower)),
        Root::Host => None,
    }
}

fn container(accepted: &Accepted) -> Result<&Container, Failure> {
    let none = || Failure::new(reason::INVALID_SPEC, "the task has no container");
    accepted.spec.containers.first().ok_or_else(none)
}

fn prepare(node: &Node, accepted: &Accepted, image: Option<&Image>) -> Result<RunRequest, Failure> {
    let container = container(accepted)?;
    let config = image.map(|image| &image.config);
    let args = request::arguments(container, config)?;
    let working_dir = request::working_directory(container, config)?;
    let account = account(container, image)?;

    let directory = node.directory.task(&accepted.uid);
    let run = directory.run(accepted.run);
    node.directory
        .discard(&run)
        .and_then(|()| make_private(&run))
        .map_err(|err| io_failure("cannot make the run's directory", &err))?;
    sandbox::prepare(&directory, account.uid, account.gid)
        .map_err(|err| io_failure("cannot make the sandbox", &err))?;

    let mut binds = vec![Bind {
        source: directory.work(),
        target: PathBuf::from(SANDBOX_MOUNT),
        read_only: false,
    }];
    binds.extend(mounts(node, accepted, container)?);
    let root = match image {
        None => Root::Host,
        Some(image) => {
            let taken = |path: &str| binds.iter().any(|bind| bind.target == Path::new(path));
            let files = HOST_FILES.iter().filter(|path| Path::new(path).is_file());
            let files: Vec<Bind> = files
                .filter(|path| !taken(path))
                .map(|path| Bind { source: path.into(), target: path.into(), read_only: true })
                .collect();
            binds.extend(files);
            layers(image, &run, &binds, &working_dir)?
        }
    };
    request::in_mount_order(&mut binds, |bind| &bind.target);
    let hostname = request::hostname(&accepted.name);
    let mut own = vec![("MESETA_TASK".to_owned(), accepted.name.clone())];
    own.extend(node.mesos.environment(accepted));
    Ok(RunRequest {
        id: run_id(&accepted.uid, accepted.run),
        args,
        env: request::environment(container, config, &account, &own, &hostname),
        working_dir,
        hostname,
        uid: account.uid,
        gid: account.gid,
        root,
        binds,
        hidden: node.hidden.clone(),
        cgroup: node.cgroup(&accepted.uid, accepted.run),
        limits: request::limits(&accepted.spec)?,
        stdout: directory.output(Stream::Stdout),
        stderr: directory.output(Stream::Stderr),
        output_limit_bytes: OUTPUT_LIMIT_BYTES,
    })
}

/// Who the program runs as.
fn account(container: &Container, image: Option<&Image>) -> Result<Account, Failure> {
    let asked = container.user.as_ref().map(|user| format!("{}:{}", user.uid, user.gid));
    let Some(image) = image else {
        let (uid, gid) = container.user.as_ref().map_or((0, 0), |user| (user.uid, user.gid));
        return Ok(Account { uid, gid, home: SANDBOX_MOUNT.to_owned() });
    };
    let user = asked.or_else(|| image.config.user.clone()).unwrap_or_default();
    images::account(&image.layers, &user).map_err(|err| image_failure(&err))
}

/// The volumes of the task where its container mounts them.
fn mounts(node: &Node, accepted: &Accepted, container: &Container) -> Result<Vec<Bind>, Failure> {
    let mut binds = Vec::new();
    for mount in &container.volume_mounts {
        let target = PathBuf::from(&mount.mount_path);
        if target == Path::new(SANDBOX_MOUNT) {
            let message =
                format!("`{SANDBOX_MOUNT}` is the sandbox; mount `{}` elsewhere", mount.name);
            return Err(Failure::new(reason::INVALID_SPEC, message));
        }
        let volume = accepted.spec.volumes.iter().find(|volume| volume.name == mount.name);
        let Some(volume) = volume else {
            let message = format!("there is no volume `{}` to mount", mount.name);
            return Err(Failure::new(reason::INVALID_SPEC, message));
        };
        let (source, only_readable) = source(node, accepted, volume)?;
        binds.push(Bind { source, target, read_only: mount.read_only || only_readable });
    }
    Ok(binds)
}

/// Where a volume is on the host, and whether it can be read only.
fn source(node: &Node, accepted: &Accepted, volume: &Volume) -> Result<(PathBuf, bool), Failure> {
    if let Some(host) = &volume.host_path {
        let found = volumes::host_path(&host.path, &node.hidden);
        let source = found.map_err(|err| {
            let message = format!("volume `{}`: {}", volume.name, chain(&err));
            Failure::new(reason::START_FAILED, message)
        })?;
        return Ok((source, true));
    }
    let Some(owner) = &accepted.spec.owner else {
        let message = format!("volume `{}`: a task alone shares with nobody", volume.name);
        return Err(Failure::new(reason::INVALID_SPEC, message));
    };
    let made = node.volumes.prepare(owner, &volume.name);
    let what = format!("cannot make the volume `{}`", volume.name);
    made.map(|source| (source, false)).map_err(|err| io_failure(&what, &err))
}

/// The overlay of an image, with a fresh upper directory that no hostile link of the image reaches
/// through.
fn layers(image: &Image, run: &Path, binds: &[Bind], working_dir: &Path) -> Result<Root, Failure> {
    let targets: Vec<&Path> = binds.iter().map(|bind| bind.target.as_path()).collect();
    let prepared = images::prepare_upper(run, &image.layers, &targets, working_dir);
    let (upper, work) =
        prepared.map_err(|err| io_failure("cannot prepare the image's upper layer", &err))?;
    Ok(Root::Layers { lower: image.layers.clone(), upper, work })
}

fn image_failure(err: &images::Error) -> Failure {
    let message = chain(err);
    let reason = match err {
        images::Error::NotFound { .. } => reason::IMAGE_NOT_FOUND,
        images::Error::Corrupt { .. } => reason::IMAGE_CORRUPT,
        images::Error::Account { .. } => reason::START_FAILED,
        images::Error::Io { source, .. } => return io_failure_with(message, source),
    };
    Failure::new(reason, message)
}

/// A failure of the agent's own disk.
pub(super) fn io_failure(what: &str, err: &io::Error) -> Failure {
    io_failure_with(format!("{what}: {err}"), err)
}

fn io_failure_with(message: String, err: &io::Error) -> Failure {
    let full = [Errno::NOSPC, Errno::DQUOT].map(Errno::raw_os_error);
    if err.raw_os_error().is_some_and(|code| full.contains(&code)) {
        return Failure::new(reason::DISK_FULL, format!("the agent's disk is full: {message}"));
    }
    Failure::new(reason::START_FAILED, message)
}
