//! Memory.

use std::fs;

/// What is left for the machine itself at most: kernel, agent, shims, and whatever else runs. Mesos
/// leaves as much.
const MAX_RESERVED_BYTES: i64 = 1024 * 1024 * 1024;
/// On a small machine it is this fraction.
const RESERVED_FRACTION: i64 = 4;
/// Amounts are rounded down to it, so that they are short.
const GRAIN_BYTES: i64 = 1024 * 1024;

/// Bytes that tasks can be given.
pub(super) fn bytes() -> Option<i64> {
    for_tasks(&fs::read_to_string("/proc/meminfo").ok()?)
}

fn for_tasks(meminfo: &str) -> Option<i64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: i64 = line.split_whitespace().next()?.parse().ok()?;
    let total = kib.checked_mul(1024)?;
    let left = total - MAX_RESERVED_BYTES.min(total / RESERVED_FRACTION);
    Some(left - left % GRAIN_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn something_is_left_for_the_machine() {
        const MIB: i64 = 1024 * 1024;
        let total = |mib: i64| for_tasks(&format!("MemTotal:  {} kB\nMemFree: 1 kB\n", mib * 1024));
        assert_eq!(total(16 * 1024), Some(15 * 1024 * MIB));
        assert_eq!(total(1024), Some(768 * MIB));
        assert_eq!(for_tasks("MemFree: 1 kB"), None);
        assert_eq!(for_tasks("MemTotal: many kB"), None);
    }
}
