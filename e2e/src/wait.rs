//! Waiting for a condition.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Pause between two looks; each look at records costs a kubectl, so not much less.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks until `look` gives what is waited for; until then it gives what it saw instead.
///
/// # Errors
/// It did not within `deadline`; the message names `what` and what was seen last.
pub fn await_condition<T>(
    what: &str,
    deadline: Duration,
    mut look: impl FnMut() -> Result<T, String>,
) -> Result<T> {
    let begin = Instant::now();
    loop {
        match look() {
            Ok(found) => return Ok(found),
            Err(seen) if begin.elapsed() >= deadline => {
                bail!("no {what} within {} s; last seen: {seen}", deadline.as_secs_f64());
            }
            Err(_) => thread::sleep(PAUSE),
        }
    }
}
