//! An agent with the real `meseta-shim`, real containers and a real API server over records in
//! memory. Runs as root; each test has a machine of its own name, and ends by looking for what was
//! left behind.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

mod absence;
mod cluster;
mod commands;
mod deletion;
mod ends;
mod executors;
mod faults;
mod images;
mod kills;
mod layouts;
mod logs;
mod machine;
mod mesos;
mod placement;
mod restarts;
mod volumes;

use std::time::Duration;

/// Longest wait for anything; far more than it takes.
const DEADLINE: Duration = Duration::from_secs(90);

/// Polls until `look` returns something; fails with what was seen last.
async fn eventually<T, F: Future<Output = Result<T, String>>>(mut look: impl FnMut() -> F) -> T {
    let begin = tokio::time::Instant::now();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) if begin.elapsed() > DEADLINE => panic!("still: {seen}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}
