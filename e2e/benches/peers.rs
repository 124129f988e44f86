//! runc and crun: what they take to start the same program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::CLIENTS;
use crate::figures::number;

/// A root file system with a `/bin/true` and what it needs, for the peers.
pub(crate) struct Bundle {
    directory: TempDir,
}

impl Bundle {
    pub(crate) fn make() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let root = directory.path().join("rootfs");
        for folder in ["bin", "lib", "lib64", "usr", "proc", "dev", "sys"] {
            fs::create_dir_all(root.join(folder))?;
        }
        let spec = Command::new("runc").arg("spec").current_dir(directory.path()).status();
        ensure!(spec.is_ok_and(|status| status.success()), "runc is not installed");
        let path = directory.path().join("config.json");
        let mut config: Value = serde_json::from_slice(&fs::read(&path)?)?;
        config["process"]["args"] = json!(["/bin/true"]);
        config["process"]["terminal"] = json!(false);
        // The limits of the task, on the host's network, as the task.
        config["process"]["rlimits"] = json!([]);
        config["linux"]["resources"]["memory"] = json!({"limit": 64 << 20});
        config["linux"]["resources"]["pids"] = json!({"limit": 1024});
        let namespaces = config["linux"]["namespaces"].as_array_mut().context("no namespaces")?;
        namespaces.retain(|namespace| namespace["type"] != "network");
        let mounts = config["mounts"].as_array_mut().context("no mounts")?;
        // Its own sysfs needs its own network.
        mounts.retain(|mount| mount["type"] != "sysfs" && mount["type"] != "cgroup");
        for folder in ["/bin", "/lib", "/lib64", "/usr"].map(PathBuf::from) {
            if folder.exists() {
                mounts.push(json!({"destination": folder, "source": folder, "type": "bind",
                    "options": ["rbind", "ro"]}));
            }
        }
        fs::write(path, serde_json::to_vec(&config)?)?;
        Ok(Self { directory })
    }

    /// One container from start to end.
    pub(crate) fn run(&self, peer: &str) -> Result<Duration> {
        let (program, verb) = peer.split_once(' ').context("a peer is a program and its verb")?;
        let id = format!("bench-{:x}", rand_id());
        let begin = Instant::now();
        let output = in_pure_cgroups(program, verb)
            .arg("--bundle")
            .arg(self.directory.path())
            .arg(&id)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("{program} is not installed"))?;
        let time = begin.elapsed();
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}", said.lines().last().unwrap_or("it failed"));
        Ok(time)
    }

    /// Containers per second with several at once, or why there is none.
    pub(crate) fn rate(&self, peer: &str, count: usize) -> String {
        let begin = Instant::now();
        let results: Result<Vec<()>> = std::thread::scope(|scope| {
            let each = count.div_ceil(CLIENTS);
            let threads: Vec<_> = (0..CLIENTS)
                .map(|_| scope.spawn(move || (0..each).try_for_each(|_| self.run(peer).map(drop))))
                .collect();
            threads.into_iter().map(|t| t.join().expect("it does not panic")).collect()
        });
        match results {
            Ok(done) => {
                let count = done.len() * count.div_ceil(CLIENTS);
                format!("{:.0} containers/s", number(count) / begin.elapsed().as_secs_f64())
            }
            Err(error) => format!("not run: {error:#}"),
        }
    }
}

/// crun refuses machines with both versions of control groups; it is shown the first only.
fn in_pure_cgroups(program: &str, verb: &str) -> Command {
    if program != "crun" || !Path::new("/sys/fs/cgroup/unified").exists() {
        let mut command = Command::new(program);
        command.arg(verb);
        return command;
    }
    let script = r#"umount -l /sys/fs/cgroup/unified; exec "$0" "$@""#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", script, program, verb]);
    command
}

/// A number no other call gives.
fn rand_id() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    (u64::from(std::process::id()) << 32) | NEXT.fetch_add(1, Ordering::Relaxed)
}
