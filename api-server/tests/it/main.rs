//! The API server as its clients see it: in process, over a store in memory.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

mod authorization;
mod book;
mod etcd;
mod expiry;
mod faults;
mod forward;
mod garbage;
mod golden;
mod kubectl;
mod kubectl_offers;
mod lists;
mod logs;
mod namespaces;
mod offers;
mod watches;
mod world;
mod writes;
