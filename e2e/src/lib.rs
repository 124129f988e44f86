//! Black-box tests of the whole product with the real kubectl and the real etcd server.
//!
//! This crate knows Meseta as its users do: two programs, a kubeconfig, records. It uses none of the
//! other crates, so a change of theirs that users would notice is noticed here.
//!
//! ```text
//!  Cluster ── starts ──► etcd, `meseta control-plane` × n, `meseta agent` × m      (Process)
//!     │                  each on loopback, or each in a network namespace of its own  (Network)
//!     ├─ Client ───────► kubectl and the verbs of `meseta`, with one kubeconfig
//!     │    └ Observer ─► the events of `kubectl get tasks --watch`, in order
//!     ├─ Scheduler ────► an unmodified pymesos that does what the test says
//!     ├─ Witness ──────► what tasks say about themselves, past Meseta's back
//!     └─ leftovers ────► processes, cgroups, mounts and directories that should be gone
//! ```
//!
//! The tests lie in `tests/it`, one file per promise, and run on both stores ([`StoreKind`]). A test
//! waits for conditions ([`await_condition`]) and never for time to pass. Most of the time is waiting,
//! so more tests at once than cores is right:
//!
//! ```text
//! cargo build -p meseta -p meseta-shim
//! cargo test -p meseta-e2e --test e2e -- --test-threads=8
//! ```
//!
//! **Invariants:** whatever a cluster starts is ended when it is dropped, by the ids it made, also
//! when the test fails; then the output of every process is printed. No test is skipped: what is
//! missing on the machine is an error that says so.

mod client;
mod cluster;
pub mod http_scheduler;
mod image;
mod leftovers;
mod network;
mod observer;
mod process;
mod programs;
mod scheduler;
mod shared;
mod up;
mod wait;
mod witness;

pub use client::Client;
pub use cluster::{Agent, Cluster, ControlPlane, Layout, StoreKind};
pub use image::Image;
pub use leftovers::Leftovers;
pub use network::{Host, Network};
pub use observer::{Observer, Seen};
pub use process::{Output, run};
pub use scheduler::{Event, Options, Scheduler, command_task, executor_program, pymesos, scalar};
pub use shared::Space;
pub use up::Up;
pub use wait::await_condition;
pub use witness::Witness;
