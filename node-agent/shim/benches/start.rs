//! What a container costs: `/bin/true` from spawn to cleaned up, beside `runc run` and `crun run`.
//!
//! All of them in the same run, in turn, with the same mounts, limits and capabilities and the
//! host's network. The peers find a root that is there; the shim makes its own each time, as it does
//! for a task, and syncs its records. CPU is that of the whole process tree: this program is the
//! subreaper of the shims. crun refuses machines with both cgroup versions, so everything runs in a
//! mount namespace without the second.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on fails there")]
#![expect(clippy::print_stdout, reason = "the table is the result")]

#[path = "start/measure.rs"]
mod measure;
#[path = "start/runtimes.rs"]
mod runtimes;

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Instant;

use rustix::mount::{UnmountFlags, unmount};

use crate::measure::{Samples, header};
use crate::runtimes::{Runtime, Shop};

/// Turns of each runtime, and starts in a turn.
const TURNS: usize = 20;
const STARTS: usize = 10;
/// Containers at once, and how many each of those does.
const AT_ONCE: usize = 16;
const EACH: usize = 12;
/// Shims whose memory is averaged.
const IDLE: usize = 8;
/// Tells the second incarnation of this program that it is in its own mount namespace.
const INSIDE: &str = "MESETA_BENCH_INSIDE";

fn main() {
    if std::env::var_os(INSIDE).is_none() {
        let status = Command::new("unshare")
            .args(["--mount", "--propagation", "private"])
            .arg(std::env::current_exe().unwrap())
            .env(INSIDE, "1")
            .status()
            .unwrap();
        assert!(status.success(), "the benchmark failed: {status}");
        return;
    }
    // Fails on a machine that has one version only, which is what is wanted.
    let _ = unmount("/sys/fs/cgroup/unified", UnmountFlags::DETACH);
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();

    let shop = Shop::open();
    let runtimes = Runtime::all(&shop);
    one_after_the_other(&runtimes);
    at_once(&runtimes);
    memory(&shop);
}

/// The runtimes take turns, so that a change of the machine's load hits all of them.
fn one_after_the_other(runtimes: &[(Runtime<'_>, Result<(), String>)]) {
    let mut samples = vec![Samples::default(); runtimes.len()];
    for _ in 0..TURNS {
        for ((runtime, able), samples) in runtimes.iter().zip(&mut samples) {
            if able.is_ok() {
                samples.take(STARTS, || runtime.run());
            }
        }
    }
    println!("\n/bin/true one after the other, {} of each, in ms", TURNS * STARTS);
    println!("{}", header());
    for ((runtime, able), samples) in runtimes.iter().zip(samples) {
        match able {
            Ok(()) => println!("{}", samples.row(runtime.name())),
            Err(why) => println!("{:34} not run: {why}", runtime.name()),
        }
    }
}

fn at_once(runtimes: &[(Runtime<'_>, Result<(), String>)]) {
    println!("\n/bin/true, {AT_ONCE} at once");
    for (runtime, able) in runtimes {
        if let Err(why) = able {
            println!("{:34} not run: {why}", runtime.name());
            continue;
        }
        let begin = Instant::now();
        thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    for _ in 0..EACH {
                        runtime.run();
                    }
                });
            }
        });
        let each = begin.elapsed() / u32::try_from(AT_ONCE * EACH).unwrap();
        println!("{:34} {:>7.0} a second", runtime.name(), 1.0 / each.as_secs_f64());
    }
}

fn memory(shop: &Shop) {
    let mean = shop.idle_shims_kilobytes(IDLE) / IDLE as u64;
    let program = Path::new(env!("CARGO_BIN_EXE_meseta-shim")).metadata().unwrap().len() >> 10;
    println!("\nprivate memory of an idle shim: {mean} KB (the program has {program} KB)");
}
