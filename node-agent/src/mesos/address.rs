//! Where executors find the agent: the same place before and after its death.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::checkpoint;
use crate::directory::Directory;

/// Where executors were told to come, so that they find the next agent too.
#[derive(Debug, Serialize, Deserialize)]
struct Address {
    port: u16,
}

/// Listens at `address`, and remembers a port that the kernel chose.
pub(super) async fn bind(address: SocketAddr, directory: &Directory) -> io::Result<TcpListener> {
    if address.port() != 0 {
        return TcpListener::bind(address).await;
    }
    let path = directory.executor_api();
    if let Some(Address { port }) = checkpoint::read(&path)? {
        match TcpListener::bind(SocketAddr::new(address.ip(), port)).await {
            Ok(listener) => return Ok(listener),
            Err(err) => {
                let error = &err as &dyn std::error::Error;
                tracing::error!(error, port, "executors of before will not find this agent");
            }
        }
    }
    let listener = TcpListener::bind(address).await?;
    checkpoint::write(&path, &Address { port: listener.local_addr()?.port() })?;
    Ok(listener)
}

/// This machine's name, as the kernel has it.
pub(super) fn hostname() -> io::Result<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")?;
    Ok(name.trim().to_owned())
}

/// Where executors on this machine reach a listener.
pub(super) fn reached_at(listening: SocketAddr) -> SocketAddr {
    let ip = match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listening.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_was_chosen_is_kept() {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::open(root.path()).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let first = bind(any, &directory).await.unwrap();
        let address = first.local_addr().unwrap();
        drop(first);
        let second = bind(any, &directory).await.unwrap();
        assert_eq!(second.local_addr().unwrap(), address);
        // Somebody else has it: better another than none.
        let third = bind(any, &directory).await.unwrap();
        assert_ne!(third.local_addr().unwrap(), address);
    }

    #[test]
    fn executors_come_by_loopback_where_all_addresses_are_listened_at() {
        let at = |text: &str| reached_at(text.parse().unwrap()).to_string();
        assert_eq!(at("0.0.0.0:5051"), "127.0.0.1:5051");
        assert_eq!(at("[::]:5051"), "[::1]:5051");
        assert_eq!(at("10.0.0.1:5051"), "10.0.0.1:5051");
    }
}
