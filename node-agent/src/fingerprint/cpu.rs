//! Cores.

/// Cores that this process may use: those of the machine, less what affinity and quota take away.
pub(super) fn cores() -> Option<i64> {
    i64::try_from(std::thread::available_parallelism().ok()?.get()).ok()
}
