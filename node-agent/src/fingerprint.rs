//! What the machine is and has: found once at the start of the agent, as the record then says.

mod cpu;
mod disk;
mod memory;

use std::collections::BTreeMap;
use std::path::Path;

use meseta_crds::agent::{Machine, PortRange};
use meseta_crds::{Quantity, ResourceList};
use rustix::system::uname;

pub(crate) use disk::Disk;

use crate::Config;
use crate::cgroup::Cgroups;

/// Host ports that tasks may be given, as Mesos has them; below those the kernel gives away itself.
const PORTS: PortRange = PortRange { begin: 31_000, end: 32_000 };

/// What an agent's record says about its machine.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fingerprint {
    /// What tasks can be given in all.
    pub(crate) capacity: ResourceList,
    /// What constraints can name.
    pub(crate) attributes: BTreeMap<String, String>,
    /// Host ports.
    pub(crate) ports: Vec<PortRange>,
    /// The machine beneath.
    pub(crate) machine: Machine,
}

impl Fingerprint {
    /// Looks at the machine. What cannot be found is left out, and what `config` says wins.
    pub(crate) fn take(config: &Config, cgroups: &Cgroups, boot_id: &str) -> Self {
        let system = uname();
        let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        let mut attributes = BTreeMap::from([
            ("os".to_owned(), std::env::consts::OS.to_owned()),
            ("arch".to_owned(), std::env::consts::ARCH.to_owned()),
            ("hostname".to_owned(), text(system.nodename())),
        ]);
        attributes.extend(config.attributes.clone());
        Self {
            capacity: config.resources.clone().unwrap_or_else(|| capacity(&config.data_dir)),
            attributes,
            ports: vec![PORTS],
            machine: Machine {
                boot_id: boot_id.to_owned(),
                kernel: text(system.release()),
                cgroups: cgroups.mode().to_owned(),
                agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            },
        }
    }
}

fn capacity(data_dir: &Path) -> ResourceList {
    let mut capacity = ResourceList::new();
    if let Some(cores) = cpu::cores() {
        capacity.insert("cpu".to_owned(), Quantity::from_millis(cores.saturating_mul(1000)));
    }
    if let Some(bytes) = memory::bytes() {
        capacity.insert("memory".to_owned(), Quantity::from_bytes(bytes));
    }
    if let Some(bytes) = disk::bytes(data_dir) {
        capacity.insert("disk".to_owned(), Quantity::from_bytes(bytes));
    }
    capacity
}
