//! Several hosts on one machine: network namespaces on one bridge.
//!
//! ```text
//!   netns <prefix>-hub:   bridge ──┬──────────┬──────────┬──
//!                                veth       veth       veth
//!   netns <prefix>-<n>:        10.77.0.1  10.77.0.2  10.77.0.3   + loopback
//! ```
//!
//! The bridge has a namespace of its own, so nothing is added to the machine's own network and two
//! test runs use the same addresses without meeting. A host shares everything else with the machine:
//! only the network is entered (`ip netns exec` would also hide the cgroup mounts).

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::process::run;

/// `ip` answers at once; a machine under load is given some time.
const IP_DEADLINE: Duration = Duration::from_secs(20);

/// A bridge and the hosts at it; dropping it removes all of them.
#[derive(Debug)]
pub struct Network {
    prefix: String,
    namespaces: Vec<String>,
}

/// One host of a [`Network`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    namespace: String,
    address: Ipv4Addr,
}

impl Network {
    /// A bridge without hosts.
    ///
    /// # Errors
    /// Network namespaces cannot be made here.
    pub fn new() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // An interface's name has room for 15 bytes.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("e{}n{number}", std::process::id());
        let mut network = Self { prefix, namespaces: Vec::new() };
        let hub = network.add_namespace("hub")?;
        ip(&["-n", &hub, "link", "add", "bridge", "type", "bridge"])?;
        ip(&["-n", &hub, "link", "set", "bridge", "up"])?;
        Ok(network)
    }

    /// One more host, with the next address.
    ///
    /// # Errors
    /// The kernel does not give it.
    pub fn add_host(&mut self) -> Result<Host> {
        let number = u8::try_from(self.namespaces.len()).context("too many hosts")?;
        let address = Ipv4Addr::new(10, 77, 0, number);
        let namespace = self.add_namespace(&number.to_string())?;
        let hub = format!("{}-hub", self.prefix);
        let port = format!("port{number}");
        ip(&[
            "-n", &hub, "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns",
            &namespace,
        ])?;
        ip(&["-n", &hub, "link", "set", &port, "master", "bridge", "up"])?;
        ip(&["-n", &namespace, "addr", "add", &format!("{address}/24"), "dev", "eth0"])?;
        ip(&["-n", &namespace, "link", "set", "eth0", "up"])?;
        Ok(Host { namespace, address })
    }

    fn add_namespace(&mut self, suffix: &str) -> Result<String> {
        let name = format!("{}-{suffix}", self.prefix);
        ip(&["netns", "add", &name])?;
        self.namespaces.push(name.clone());
        ip(&["-n", &name, "link", "set", "lo", "up"])?;
        Ok(name)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for namespace in self.namespaces.iter().rev() {
            // Nothing can be done about one that stays; the others must still go.
            drop(ip(&["netns", "delete", namespace]));
        }
    }
}

impl Host {
    /// Its address.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// `program`, to be run on `host`, or on the machine itself where there is none.
    ///
    /// The process that is started is the program itself: its pid can be signalled.
    #[must_use]
    pub fn command(host: Option<&Self>, program: &Path) -> Command {
        let Some(host) = host else { return Command::new(program) };
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", host.namespace)).arg("--").arg(program);
        command
    }

    /// Takes the host off the network, or puts it back.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn set_connected(&self, connected: bool) -> Result<()> {
        let state = if connected { "up" } else { "down" };
        ip(&["-n", &self.namespace, "link", "set", "eth0", state])
    }
}

fn ip(args: &[&str]) -> Result<()> {
    run(Command::new("ip").args(args), None, IP_DEADLINE)
        .context("the package iproute2 is needed")?
        .success()
        .map(drop)
}
