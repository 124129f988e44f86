//! Limits of a group that runs already: they grow with what is granted to it, and do not shrink, as
//! the kernel would kill for what is in use.

use std::fs;
use std::io;
use std::path::Path;

use meseta_shim_api::Limits;

use super::Cgroups;

/// Weight of one core on v1, and the least there is; as the shim sets it.
const CPU_SHARES_PER_CORE: u64 = 1024;
const MIN_CPU_SHARES: u64 = 2;

impl Cgroups {
    /// Lets `group` use as much memory and as many processes as `limits` say, where it may use less
    /// now, and gives it its weight among its neighbours. Nothing happens where there is no such group.
    ///
    /// # Errors
    /// The kernel refused.
    pub(crate) fn grow(&self, group: &Path, limits: &Limits) -> io::Result<()> {
        for place in self.places(group) {
            if let Some(bytes) = limits.memory_bytes {
                // On v1 memory with swap is never less than without.
                for file in ["memory.memsw.limit_in_bytes", "memory.limit_in_bytes", "memory.max"] {
                    raise(&place.join(file), bytes)?;
                }
            }
            if let Some(pids) = limits.pids {
                raise(&place.join("pids.max"), pids)?;
            }
            let shares = limits.cpu_share_millis.saturating_mul(CPU_SHARES_PER_CORE) / 1000;
            let shares = shares.max(MIN_CPU_SHARES);
            write(&place.join("cpu.shares"), shares)?;
            write(&place.join("cpu.weight"), weight(shares))?;
        }
        Ok(())
    }
}

/// The weight of v2 for shares of v1, as runtimes convert it: 2 … 262144 to 1 … 10000.
fn weight(shares: u64) -> u64 {
    let shares = shares.clamp(MIN_CPU_SHARES, 262_144);
    1 + (shares - 2) * 9999 / 262_142
}

/// Writes a limit if it is higher than the present one, where the file exists.
fn raise(file: &Path, limit: u64) -> io::Result<()> {
    match fs::read_to_string(file) {
        // `max` is no number: there is no limit to raise.
        Ok(now) if now.trim().parse().is_ok_and(|now: u64| now < limit) => write(file, limit),
        Ok(_) => Ok(()),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(err) => Err(err),
    }
}

fn write(file: &Path, value: u64) -> io::Result<()> {
    if !file.try_exists()? {
        return Ok(());
    }
    fs::write(file, value.to_string())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn limits_grow_and_do_not_shrink() {
        let cgroups = Cgroups::detect().unwrap();
        let group = PathBuf::from(format!("/meseta/test-limits-{}", std::process::id()));
        let relative = group.strip_prefix("/").unwrap();
        let places: Vec<_> = cgroups.roots.iter().map(|root| root.join(relative)).collect();
        for place in &places {
            fs::create_dir_all(place).unwrap();
        }
        let files = |names: &[&str]| {
            let all = places.iter().flat_map(|place| names.iter().map(move |n| place.join(n)));
            let values = all.filter_map(|file| fs::read_to_string(file).ok());
            values.map(|value| value.trim().to_owned()).collect::<Vec<_>>()
        };
        for (names, value) in
            [(["memory.limit_in_bytes", "memory.max"], "8388608"), (["pids.max", "-"], "10")]
        {
            for file in places.iter().flat_map(|place| names.iter().map(move |n| place.join(n))) {
                if file.exists() {
                    fs::write(file, value).unwrap();
                }
            }
        }
        let limits = |bytes: u64, pids: u64| Limits {
            cpu_share_millis: 2000,
            cpu_limit_millis: None,
            memory_bytes: Some(bytes),
            pids: Some(pids),
        };
        cgroups.grow(&group, &limits(16 * 1024 * 1024, 5)).unwrap();
        assert_eq!(files(&["memory.limit_in_bytes", "memory.max"]), ["16777216"]);
        assert_eq!(files(&["pids.max"]), ["10"]);
        cgroups.grow(&group, &limits(4096, 50)).unwrap();
        assert_eq!(files(&["memory.limit_in_bytes", "memory.max"]), ["16777216"]);
        assert_eq!(files(&["pids.max"]), ["50"]);
        let shares = files(&["cpu.shares"]);
        assert!(shares.is_empty() || shares == ["2048"], "{shares:?}");
        cgroups.destroy(&group).unwrap();
        cgroups.grow(&group, &limits(1, 1)).unwrap();
    }

    #[test]
    fn weights_are_those_of_other_runtimes() {
        assert_eq!([2, 1024, 262_144].map(weight), [1, 39, 10_000]);
    }
}
