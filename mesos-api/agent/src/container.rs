//! What a Mesos agent adds to what is said of a task's container. Pure.

use std::net::IpAddr;

use meseta_mesos_wire::v1;
use v1::network_info::{IpAddress, Protocol};
use v1::{ContainerId, ContainerStatus, NetworkInfo};

/// Fills in which container it is, and that it is reached at `ip`: containers have the machine's
/// network. What is said already stays.
pub fn complete(status: &mut ContainerStatus, id: ContainerId, ip: Option<IpAddr>) {
    status.container_id.get_or_insert(id);
    if let (true, Some(ip)) = (status.network_infos.is_empty(), ip) {
        let protocol = if ip.is_ipv4() { Protocol::IPv4 } else { Protocol::IPv6 };
        let address =
            IpAddress { ip_address: Some(ip.to_string()), protocol: Some(protocol.into()) };
        let network = NetworkInfo { ip_addresses: vec![address], ..NetworkInfo::default() };
        status.network_infos.push(network);
    }
}
