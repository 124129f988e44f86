//! One contract, three stores: every test of [`contract`] runs against each of them, with a real
//! etcd server; [`model`] compares them with the one in memory over random histories; the rest is
//! what only one of them can suffer.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

mod contract;
mod etcd_faults;
mod etcd_neighbours;
mod etcd_server;
mod etcd_tls;
mod kill;
mod model;
mod stores;
