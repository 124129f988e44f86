//! Making a container through libcontainer, up to the point where its program may run.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use libcontainer::container::Container as OciContainer;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::error::LibcontainerError;
use libcontainer::syscall::syscall::SyscallType;
use meseta_shim_api::{Outcome, Process, RunRequest};
use rustix::fs::fchown;
use rustix::io::Errno;
use rustix::process::{
    Gid, Pid, PidfdFlags, Signal, Uid, WaitId, WaitIdOptions, WaitOptions, kill_process,
    pidfd_open, pidfd_send_signal, waitid, waitpid,
};

use crate::causes::Causes;
use crate::cgroup::Hierarchies;
use crate::error::{Context as _, Error};
use crate::executor::{Program, Report};
use crate::layout::Layout;
use crate::output::Stream;
use crate::process::HostProc;
use crate::root;
use crate::spec::{Machine, spec};

/// The kernel's view of how much the shim itself should be spared.
const OWN_OOM_SCORE: &str = "/proc/self/oom_score_adj";

/// With so much memory a container can always be made: several times what it was seen to take.
const ENOUGH_MEMORY_BYTES: u64 = 8 << 20;

/// A container that waits for its start, or runs.
pub(crate) struct Container {
    oci: OciContainer,
    /// Its first process: the shim's child, so the number stays its own until it is reaped.
    pub(crate) pidfd: OwnedFd,
    /// The same process in the shim's own pid namespace.
    pub(crate) pid: Pid,
    /// The same process as the agent knows it.
    pub(crate) process: Process,
    /// Tells whether the program could be executed.
    pub(crate) report: Report,
}

/// What a container is made with.
pub(crate) struct Maker<'a> {
    pub(crate) request: &'a RunRequest,
    pub(crate) layout: &'a Layout,
    pub(crate) hierarchies: &'a Hierarchies,
    pub(crate) host: &'a HostProc,
    pub(crate) causes: &'a Causes,
}

impl Maker<'_> {
    /// Makes the root and the container, and its output streams. After an error parts of it may be
    /// left.
    pub(crate) fn make(&self) -> Result<(Container, [Stream; 2]), Error> {
        let request = self.request;
        let (program, report) = Program::new(request)?;
        let (stdout, stdout_writer) = self.stream(&request.stdout)?;
        let (stderr, stderr_writer) = self.stream(&request.stderr)?;
        self.prepare_bundle()?;
        let stdin = File::open("/dev/null").context(|| "open /dev/null")?;

        let oom_score = fs::read(OWN_OOM_SCORE).context(|| format!("read {OWN_OOM_SCORE}"))?;
        let builder = ContainerBuilder::new(request.id.clone(), SyscallType::default())
            .with_executor(program)
            .with_stdin(stdin)
            .with_stdout(stdout_writer)
            .with_stderr(stderr_writer);
        let built = builder.with_root_path(self.layout.state()).and_then(|builder| {
            builder
                .as_init(self.layout.bundle())
                .with_systemd(false)
                .with_detach(true)
                .as_sibling(false)
                .build()
        });
        // libcontainer gave the shim the container's value; the least it may go back to is less.
        fs::write(OWN_OOM_SCORE, oom_score).context(|| format!("write {OWN_OOM_SCORE}"))?;
        let oci = built.map_err(|error| self.explain(error, &report))?;

        self.hierarchies.forbid_swap(&request.cgroup)?;
        let pid = oci.pid().and_then(|pid| Pid::from_raw(pid.as_raw()));
        let pid = pid.ok_or_else(|| Error::Refused("the container has no process".to_owned()))?;
        let pidfd =
            pidfd_open(pid, PidfdFlags::empty()).context(|| "open the container's pidfd")?;
        let process = self.host.process_of(pidfd.as_fd())?;
        Ok((Container { oci, pidfd, pid, process, report }, [stdout, stderr]))
    }

    /// An output file, and the end of its pipe for the container's user, who may open it anew by
    /// way of `/dev/stdout`.
    fn stream(&self, path: &std::path::Path) -> Result<(Stream, OwnedFd), Error> {
        let (stream, writer) = Stream::open(path, self.request.output_limit_bytes)?;
        let (uid, gid) = (Uid::from_raw(self.request.uid), Gid::from_raw(self.request.gid));
        fchown(&writer, Some(uid), Some(gid)).context(|| "give the container its output pipe")?;
        Ok((stream, writer))
    }

    fn prepare_bundle(&self) -> Result<(), Error> {
        root::enter_namespace()?;
        root::keep_in_memory(&self.layout.state())?;
        self.layout.make_bundle()?;
        root::mount(self.request, &self.layout.root())?;
        let machine = Machine::find(self.hierarchies, &self.request.cgroup);
        let config = self.layout.config();
        let text = spec(self.request, &machine).to_string();
        fs::write(&config, text).context(|| format!("write {}", config.display()))
    }

    /// The program's own reason if there is one, else everything that was said.
    fn explain(&self, error: LibcontainerError, report: &Report) -> Error {
        let said = self.causes.take();
        if let Some(Err(reason)) = report.outcome() {
            return reason;
        }
        let RunRequest { working_dir, limits, .. } = self.request;
        let explanation = if said.contains("failed to chdir") {
            let directory = working_dir.display();
            format!("working directory `{directory}` cannot be entered in the container: ")
        } else if said.contains("BrokenChannel")
            && let Some(bytes) = limits.memory_bytes.filter(|&bytes| bytes < ENOUGH_MEMORY_BYTES)
        {
            // libcontainer has removed the control group, and with it what was counted there.
            format!("killed while it was made; a limit of {bytes} bytes of memory is too small: ")
        } else {
            String::new()
        };
        Error::Runtime { explanation, source: Box::new(error), said }
    }
}

impl Container {
    /// Lets the program run; [`Container::report`] says whether it does.
    pub(crate) fn start(&mut self, causes: &Causes) -> Result<(), Error> {
        self.oci.start().map_err(|error| Error::Runtime {
            explanation: String::new(),
            source: Box::new(error),
            said: causes.take(),
        })
    }

    /// Sends a signal to the first process. One that has ended already is fine.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(&self.pidfd, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for the end of the first process, and with it of all others in the container.
    pub(crate) fn wait(&self) -> Result<Outcome, Error> {
        let status = loop {
            match waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED) {
                Err(Errno::INTR) => {}
                result => break result.context(|| "wait for the container")?,
            }
        };
        let status = status.ok_or_else(|| Error::Refused("the container has no status".into()))?;
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Ok(Outcome::Exited { code }),
            (None, Some(signal)) => Ok(Outcome::Signaled { signal }),
            (None, None) => Err(Error::Refused("the container ended in no known way".into())),
        }
    }
}

/// Ends what a failed attempt left behind. All of it are children of the shim, and their own die
/// with the first of their pid namespace.
pub(crate) fn kill_children() {
    let children = fs::read_to_string("/proc/self/task/1/children").unwrap_or_default();
    for pid in children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)) {
        // The number stays the child's until it is reaped.
        let _ = kill_process(pid, Signal::KILL);
    }
    while matches!(waitpid(None, WaitOptions::empty()), Ok(Some(_)) | Err(Errno::INTR)) {}
}
