//! What the roles take from the machine: its name, its address, its limits.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The longest DNS label.
const LABEL_LENGTH: usize = 63;

/// The host's name as a DNS label, `local` where nothing of it can be one.
pub(super) fn host_label() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().to_lowercase();
    label(&name)
}

fn label(name: &str) -> String {
    let first = name.split('.').next().unwrap_or_default();
    let label: String = first
        .chars()
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' })
        .take(LABEL_LENGTH)
        .collect();
    let label = label.trim_matches('-');
    if label.is_empty() { "local".to_owned() } else { label.to_owned() }
}

/// Lets the process open as many files as it may: each watch, container and connection takes one.
pub(super) fn raise_file_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// The program `name` beside this one, where `make build` puts it.
pub(super) fn sibling_program(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    Ok(own.with_file_name(name))
}

/// The address of this machine that `server` (`https://host:port`) would see; nothing is sent.
pub(super) fn address_towards(server: &http::Uri) -> Result<IpAddr> {
    let host = server.host().unwrap_or_default().trim_matches(['[', ']']);
    let port = server.port_u16().unwrap_or(443);
    let target = (host, port)
        .to_socket_addrs()
        .with_context(|| format!("cannot look up `{host}`"))?
        .next()
        .with_context(|| format!("`{host}` has no address"))?;
    let unspecified: SocketAddr = if target.is_ipv4() {
        (IpAddr::from([0, 0, 0, 0]), 0).into()
    } else {
        (IpAddr::from([0; 16]), 0).into()
    };
    let socket = UdpSocket::bind(unspecified)?;
    socket.connect(target).with_context(|| format!("there is no route to {target}"))?;
    let address = socket.local_addr()?.ip();
    ensure!(!address.is_unspecified(), "cannot tell this machine's address; use --advertise");
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_becomes_a_dns_label() {
        for (name, expected) in [
            ("node-1.example.org", "node-1"),
            ("my_host", "my-host"),
            ("-odd-", "odd"),
            ("", "local"),
            ("ü", "local"),
        ] {
            assert_eq!(label(name), expected, "{name}");
        }
        assert_eq!(label(&"a".repeat(80)).len(), LABEL_LENGTH);
    }

    #[test]
    fn the_address_towards_this_machine_is_loopback() {
        let server = "https://127.0.0.1:7443".parse().unwrap();
        assert_eq!(address_towards(&server).unwrap(), IpAddr::from([127, 0, 0, 1]));
        assert!(address_towards(&"https://nowhere.invalid:1".parse().unwrap()).is_err());
    }
}
