//! The OCI spec of a container: everything is said here, nothing is left to defaults.
//!
//! It is written as the JSON that it is: the builders of `oci-spec` begin with an example, not with
//! nothing. A test reads it back with `oci-spec`, so a field that it does not know is found.
//!
//! What every container gets: its own pid, mount, ipc, uts and cgroup namespaces and the host's
//! network; no way to gain privileges; the usual capabilities less MKNOD and NET_RAW; masked and
//! read-only paths as other runtimes have them. No seccomp filter: the feature is not built in, and
//! a later stage loads one in [`crate::executor`], where it costs nothing.

use std::path::{Path, PathBuf};

use meseta_shim_api::{Bind, Limits, Root, RunRequest};
use rustix::process::{Resource, getrlimit};
use serde_json::{Value, json};

use crate::cgroup::Hierarchies;

/// Version of the runtime specification that this follows.
const VERSION: &str = "1.2.0";
/// Microseconds over which a cpu limit is enforced: the kernel's own choice.
const CPU_PERIOD_MICROS: u64 = 100_000;
/// The kernel's least quota, in microseconds.
const MIN_CPU_QUOTA_MICROS: u64 = 1000;
/// The kernel's least weight.
const MIN_CPU_SHARES: u64 = 2;
/// Weight of one core.
const CPU_SHARES_PER_CORE: u64 = 1024;
/// Makes the kernel prefer containers to agents and shims when the whole machine is out of memory.
const OOM_SCORE_ADJ: i32 = 300;
/// Open files: few at first, since old programs break on large numbers, and those that need more
/// (the JVM does it by itself) may raise it to the hard limit.
const OPEN_FILES: u64 = 1024;
/// The hard limit, where the machine allows as much.
const MAX_OPEN_FILES: u64 = 1_048_576;

/// What a process with uid 0 may do in a container; any other uid may do nothing special.
const CAPABILITIES: [&str; 12] = [
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
];

/// What tells about the machine or changes it, and is hidden.
const MASKED: [&str; 11] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// What may be looked at only.
const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Where programs look for their control groups.
const CGROUPS: &str = "/sys/fs/cgroup";

/// What the machine allows.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    /// Whether memory and swap together can be limited.
    pub(crate) counts_swap: bool,
    /// The container's own groups on cgroup v1, by the name of a controller; empty on v2.
    pub(crate) groups: Vec<(&'static str, PathBuf)>,
    /// The shim's own hard limit on open files, which a container cannot exceed.
    pub(crate) max_open_files: u64,
}

impl Machine {
    /// Asks the kernel.
    pub(crate) fn find(hierarchies: &Hierarchies, group: &Path) -> Self {
        Self {
            counts_swap: hierarchies.counts_swap(),
            groups: hierarchies.shown(group),
            max_open_files: getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX),
        }
    }
}

/// The spec of the container that `request` asks for; its root is `root` beside the spec.
pub(crate) fn spec(request: &RunRequest, machine: &Machine) -> Value {
    let read_only = READ_ONLY.into_iter().chain((!machine.groups.is_empty()).then_some(CGROUPS));

    json!({
        "ociVersion": VERSION,
        "root": { "path": "root", "readonly": matches!(request.root, Root::Host) },
        "hostname": request.hostname,
        "process": process(request, machine),
        "mounts": mounts(&request.binds, machine),
        "linux": {
            "namespaces": [
                { "type": "pid" },
                { "type": "mount" },
                { "type": "ipc" },
                { "type": "uts" },
                { "type": "cgroup" },
            ],
            "rootfsPropagation": "private",
            "cgroupsPath": request.cgroup,
            "resources": resources(&request.limits, machine),
            "maskedPaths": MASKED,
            "readonlyPaths": read_only.collect::<Vec<_>>(),
        },
    })
}

fn process(request: &RunRequest, machine: &Machine) -> Value {
    let held: &[&str] = if request.uid == 0 { &CAPABILITIES } else { &[] };
    let hard = machine.max_open_files.min(MAX_OPEN_FILES);
    let env: Vec<String> =
        request.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    json!({
        "terminal": false,
        "user": { "uid": request.uid, "gid": request.gid, "umask": 0o022, "additionalGids": [] },
        "args": request.args,
        "env": env,
        "cwd": request.working_dir,
        "capabilities": {
            "bounding": CAPABILITIES,
            "permitted": held,
            "effective": held,
            "inheritable": [],
            "ambient": [],
        },
        "rlimits": [
            { "type": "RLIMIT_NOFILE", "soft": OPEN_FILES.min(hard), "hard": hard },
            { "type": "RLIMIT_CORE", "soft": 0, "hard": 0 },
        ],
        "noNewPrivileges": true,
        "oomScoreAdj": OOM_SCORE_ADJ,
    })
}

fn resources(limits: &Limits, machine: &Machine) -> Value {
    let mut resources = json!({
        "devices": [{ "allow": false, "access": "rwm" }],
        "cpu": cpu(limits),
    });
    if let Some(bytes) = limits.memory_bytes {
        resources["memory"] = json!({ "limit": bytes });
        if machine.counts_swap {
            resources["memory"]["swap"] = bytes.into();
        }
    }
    if let Some(pids) = limits.pids {
        resources["pids"] = json!({ "limit": pids });
    }
    resources
}

fn cpu(limits: &Limits) -> Value {
    let shares = limits.cpu_share_millis.saturating_mul(CPU_SHARES_PER_CORE) / 1000;
    let mut cpu = json!({ "shares": shares.max(MIN_CPU_SHARES) });
    if let Some(millis) = limits.cpu_limit_millis {
        let quota = millis.saturating_mul(CPU_PERIOD_MICROS) / 1000;
        cpu["quota"] = quota.max(MIN_CPU_QUOTA_MICROS).into();
        cpu["period"] = CPU_PERIOD_MICROS.into();
    }
    cpu
}

fn mounts(binds: &[Bind], machine: &Machine) -> Vec<Value> {
    let own = [
        mount("/proc", "proc", &["nosuid", "nodev", "noexec"]),
        mount("/dev", "tmpfs", &["nosuid", "noexec", "strictatime", "mode=755", "size=64k"]),
        mount(
            "/dev/pts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/dev/shm", "tmpfs", &["nosuid", "nodev", "noexec", "mode=1777", "size=64m"]),
        mount("/dev/mqueue", "mqueue", &["nosuid", "nodev", "noexec"]),
        mount("/sys", "sysfs", &["ro", "nosuid", "nodev", "noexec"]),
    ];
    own.into_iter().chain(control_groups(machine)).chain(binds.iter().map(bind)).collect()
}

/// The container's own groups, to be read: by their limits programs such as the JVM choose their
/// size. libcontainer would mount all hierarchies of v1, and writable, so that uid 0 could lift its
/// limits.
fn control_groups(machine: &Machine) -> Vec<Value> {
    if machine.groups.is_empty() {
        return vec![mount(CGROUPS, "cgroup", &["ro", "nosuid", "nodev", "noexec"])];
    }
    let room = mount(CGROUPS, "tmpfs", &["nosuid", "nodev", "noexec", "mode=755", "size=4k"]);
    let groups = machine.groups.iter().map(|(controller, group)| {
        json!({
            "destination": format!("{CGROUPS}/{controller}"),
            "type": "bind",
            "source": group,
            "options": ["bind", "rprivate", "ro", "nosuid", "nodev", "noexec"],
        })
    });
    std::iter::once(room).chain(groups).collect()
}

fn mount(destination: &str, kind: &str, options: &[&str]) -> Value {
    json!({ "destination": destination, "type": kind, "source": kind, "options": options })
}

fn bind(bind: &Bind) -> Value {
    let mut options = vec!["rbind", "rprivate", "rnosuid", "rnodev"];
    if bind.read_only {
        options.push("rro");
    }
    json!({
        "destination": bind.target,
        "type": "bind",
        "source": bind.source,
        "options": options,
    })
}

#[cfg(test)]
mod tests;
