//! The clock that leases and silences are measured with.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Milliseconds since the machine was started, its sleep included: for whatever is waited for, since
/// nobody can set this clock.
#[must_use]
pub fn uptime_millis() -> i64 {
    Boottime::now().millis()
}

/// Time since the machine was started, its sleep included.
///
/// `std::time::Instant` stands still while the machine sleeps; a leader that wakes would believe in a
/// lease that ended long ago. Nobody can set this clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Boottime(Duration);

impl Boottime {
    /// Now.
    pub(crate) fn now() -> Self {
        let now = clock_gettime(ClockId::Boottime);
        Self(Duration::new(
            u64::try_from(now.tv_sec).expect("the clock starts at zero"),
            u32::try_from(now.tv_nsec).expect("nanoseconds stay below a billion"),
        ))
    }

    /// Milliseconds since the machine was started.
    pub(crate) fn millis(self) -> i64 {
        i64::try_from(self.0.as_millis()).unwrap_or(i64::MAX)
    }

    /// How long ago `self` was; zero if it is still to come.
    pub(crate) fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }

    /// How long it is until `self`; zero if it has passed.
    pub(crate) fn left(self) -> Duration {
        self.0.saturating_sub(Self::now().0)
    }

    /// The time `duration` after `self`.
    pub(crate) fn after(self, duration: Duration) -> Self {
        Self(self.0 + duration)
    }
}
