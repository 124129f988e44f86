//! Where schedulers written for Mesos find a control plane, and their executors an agent.

use std::net::SocketAddr;
use std::str::FromStr;

use anyhow::{Context as _, Result};
use tokio::net::TcpListener;

use super::plane::host_and_port;

/// Namespace of the frameworks of such schedulers.
pub(super) const NAMESPACE: &str = "default";

/// Flags of a control plane.
#[derive(Debug, clap::Args)]
pub(super) struct GatewayArgs {
    /// Where schedulers written for Mesos subscribe; `none` for nowhere.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:5050")]
    mesos_listen: Listen,
    /// The same as schedulers and other control planes see it.
    #[arg(long, value_name = "HOST:PORT")]
    mesos_advertise: Option<String>,
}

/// An address to listen at, or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listen(pub(super) Option<SocketAddr>);

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        let address = text.parse().map_err(|_| "must be ADDRESS:PORT or `none`".to_owned())?;
        Ok(Self(Some(address)))
    }
}

/// An open listener for schedulers.
pub(super) struct Door {
    pub(super) listener: TcpListener,
    /// `host:port` as others see it.
    pub(super) address: String,
}

impl GatewayArgs {
    /// Opens the listener, if there is to be one, of a control plane that others reach under the
    /// names in `advertised`.
    pub(super) async fn open(self, advertised: &[String]) -> Result<Option<Door>> {
        let Listen(Some(listen)) = self.mesos_listen else { return Ok(None) };
        let listener = TcpListener::bind(listen).await.with_context(|| {
            format!(
                "cannot listen on {listen} for Mesos schedulers; --mesos-listen takes another \
                 address, or `none`"
            )
        })?;
        let address = match self.mesos_advertise {
            Some(address) => address,
            None => address(listener.local_addr()?, advertised),
        };
        Ok(Some(Door { listener, address }))
    }
}

/// What others see of a listener: one on loopback is reached there alone, whatever the machine is
/// called.
fn address(local: SocketAddr, advertised: &[String]) -> String {
    if local.ip().is_loopback() { local.to_string() } else { host_and_port(local, advertised) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_an_address_or_none() {
        assert_eq!("none".parse(), Ok(Listen(None)));
        assert_eq!("[::1]:0".parse(), Ok(Listen(Some("[::1]:0".parse().unwrap()))));
        for wrong in ["", "5050", "localhost:5050", "None", "127.0.0.1"] {
            assert!(wrong.parse::<Listen>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn schedulers_are_told_an_address_that_they_can_reach() {
        let advertised = ["m1.example".to_owned()];
        for (local, advertised, expected) in [
            ("127.0.0.1:5050", &advertised[..], "127.0.0.1:5050"),
            ("0.0.0.0:5050", &advertised[..], "m1.example:5050"),
            ("0.0.0.0:5050", &[], "127.0.0.1:5050"),
            ("10.0.0.1:5050", &[], "10.0.0.1:5050"),
        ] {
            assert_eq!(address(local.parse().unwrap(), advertised), expected);
        }
    }

    #[tokio::test]
    async fn a_port_that_is_taken_names_the_flag() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listen = Listen(Some(taken.local_addr().unwrap()));
        let args = GatewayArgs { mesos_listen: listen, mesos_advertise: None };
        let error = args.open(&[]).await.err().unwrap();
        assert!(error.to_string().contains("--mesos-listen"), "{error}");
        let none = GatewayArgs { mesos_listen: Listen(None), mesos_advertise: None };
        assert!(none.open(&[]).await.unwrap().is_none());
    }
}
