//! The roles: `meseta up`, `control-plane` and `agent`. They join the parts and run until a signal.
//!
//! ```text
//!  up             = store + API server + listener + controllers + agent, in one process
//!  control-plane  = store + API server + listener + controllers
//!  agent          =                                               agent, over TLS
//! ```
//!
//! **Invariant:** the parts know each other through a `kube::Client` only, so that a role is nothing
//! but the choice of what runs in this process. What needs the API server ends before it does.

pub(crate) mod agent;
pub(crate) mod control_plane;
pub(crate) mod up;

mod machine;
mod pki;
mod plane;
mod shutdown;
