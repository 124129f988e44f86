//! What the API server costs: durable creates of 1 KB tasks per second, and watch events.
//!
//! *Creates*: through the server on the embedded store and on an etcd, by clients in the same
//! process and over TLS, beside bare puts of the same bytes to an etcd of the same kind; all in one
//! run on one disk, at 1, 16 and 256 concurrent clients.
//!
//! *Watches*: CPU per delivered event, where every watcher is sent every change. The changes
//! themselves are paid for by a run without watchers, which is subtracted.
//!
//! Wall time on a shared machine is noise; the CPU columns are what to compare. Clients are in this
//! process: their share (building requests, TLS, reading answers) is in its CPU.
//!
//! `cargo bench -p meseta-api-server [-- SECONDS]`, where SECONDS is for one measurement of creates
//! (default 1).
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

mod creates;
mod measure;
mod sides;
mod watches;

use std::time::Duration;

/// What can go wrong here.
type Fault = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Fault> {
    let seconds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(1);
    meseta_serve::install_crypto_provider();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        creates::run(Duration::from_secs(seconds)).await;
        println!();
        watches::run().await
    })
}
