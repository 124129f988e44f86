//! Where this gateway says it is.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::Error;

/// A host and its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Advertised {
    /// Name or address, an IPv6 address in brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// For clients that want an address, which in Mesos' messages is an IPv4 address.
    pub(crate) ip: Ipv4Addr,
}

impl Advertised {
    /// The given `host:port`, or the address of the listener.
    ///
    /// # Errors
    /// [`Error::Advertise`].
    pub(crate) fn new(advertise: Option<String>, local: SocketAddr) -> Result<Self, Error> {
        let text = advertise.unwrap_or_else(|| local.to_string());
        let (host, port) = split(&text).ok_or_else(|| Error::Advertise(text.clone()))?;
        let ip = match (host.parse(), local.ip().to_canonical()) {
            (Ok(ip), _) | (Err(_), IpAddr::V4(ip)) => ip,
            (Err(_), IpAddr::V6(_)) => Ipv4Addr::LOCALHOST,
        };
        Ok(Self { host: host.to_owned(), port, ip })
    }
}

impl std::fmt::Display for Advertised {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Host and port of `host:port`.
pub(crate) fn split(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let bare = !host.is_empty() && !host.contains([':', '/', '@']);
    let bracketed = host.starts_with('[') && host.ends_with(']');
    (bare || bracketed).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        let local = "127.0.0.1:5050".parse().unwrap();
        let check = |text: &str| Advertised::new(Some(text.to_owned()), local).ok();
        let name = check("m1.example:5050").unwrap();
        assert_eq!((name.to_string().as_str(), name.ip), ("m1.example:5050", Ipv4Addr::LOCALHOST));
        assert_eq!(check("10.1.2.3:80").unwrap().ip, Ipv4Addr::new(10, 1, 2, 3));
        assert_eq!(check("[::1]:80").unwrap().host, "[::1]");
        assert_eq!(Advertised::new(None, local).unwrap().to_string(), "127.0.0.1:5050");
        for wrong in ["m1", "m1:", ":80", "http://m1:80", "::1:80", "m1:65536", ""] {
            assert_eq!(check(wrong), None, "{wrong}");
        }
    }
}
