//! The roles: `meseta up`, `control-plane` and `agent`. They join the parts and run until a signal.
//!
//! ```text
//!  up             = store + API server + listener + controllers + gateway + agent, in one process
//!  control-plane  = store + API server + listener + controllers + gateway
//!  agent          =                                                         agent, over TLS
//! ```
//!
//! **Invariant:** the parts know each other through a `kube::Client` only, so that a role is nothing
//! but the choice of what runs in this process; API server and gateway look into the controllers
//! beside them for what is never stored, the offers. What needs the API server ends before it does.

pub(crate) mod agent;
pub(crate) mod control_plane;
pub(crate) mod up;

mod machine;
mod mesos;
mod offers;
mod pki;
mod plane;
mod shutdown;
