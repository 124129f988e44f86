//! Limits on memory, processes, cpu and output.

use std::fs;

use meseta_shim_api::{Outcome, Phase};

use crate::fixture::{Run, names};

/// Takes memory without end: `tail` keeps what has no line end.
const HUNGRY: &str = "tail /dev/zero";

#[test]
fn a_program_that_takes_too_much_memory_is_killed_and_that_is_counted() {
    let mut run = Run::script(&format!("exec {HUNGRY}"));
    run.request.limits.memory_bytes = Some(16 << 20);
    let exit = run.start().finish();
    assert_eq!(exit.outcome, Outcome::Signaled { signal: 9 });
    assert!(exit.oom_kills >= 1);
}

#[test]
fn a_child_that_takes_too_much_memory_is_counted_though_the_program_goes_on() {
    let mut run = Run::script(&format!("{HUNGRY}; echo $?"));
    run.request.limits.memory_bytes = Some(16 << 20);
    let exit = run.start().finish();
    assert_eq!(exit.outcome, Outcome::Exited { code: 0 });
    assert!(exit.oom_kills >= 1);
    assert_eq!(run.stdout(), "137\n");
}

#[test]
fn a_program_cannot_have_more_processes_than_its_limit() {
    let mut run = Run::script("for i in 1 2 3 4 5 6 7 8 9; do sleep 1000 & done; echo all");
    run.request.limits.pids = Some(5);
    assert_ne!(run.outcome(), Outcome::Exited { code: 0 });
    assert_eq!(run.stdout(), "");
    assert!(run.stderr().contains("ork"), "{}", run.stderr());
}

#[test]
fn limits_are_written_where_the_kernel_reads_them() {
    let mut run = Run::script("echo ready; read line < /mnt/sandbox/go");
    let limits = &mut run.request.limits;
    limits.cpu_share_millis = 500;
    limits.cpu_limit_millis = Some(250);
    limits.memory_bytes = Some(32 << 20);
    limits.pids = Some(50);
    let fifo = run.sandbox().join("go");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    run.start().wait_for(Phase::Running);
    // cgroup v1 and v2 have different files for the same.
    let expected = [
        ("cpu.shares", "512"),
        ("cpu.cfs_quota_us", "25000"),
        ("cpu.cfs_period_us", "100000"),
        ("cpu.max", "25000 100000"),
        ("memory.limit_in_bytes", "33554432"),
        ("memory.memsw.limit_in_bytes", "33554432"),
        ("memory.max", "33554432"),
        ("memory.swap.max", "0"),
        ("pids.max", "50"),
    ];
    let mut seen = Vec::new();
    for directory in run.group_directories(&run.request.cgroup) {
        for (file, value) in expected {
            if let Ok(text) = fs::read_to_string(directory.join(file)) {
                assert_eq!(text.trim(), value, "{file}");
                seen.push(file);
            }
        }
    }
    fs::write(fifo, "\n").unwrap();
    run.finish();
    let has = |names: [&str; 2]| names.iter().any(|name| seen.contains(name));
    assert!(has(["cpu.shares", "cpu.max"]), "{seen:?}");
    assert!(has(["memory.limit_in_bytes", "memory.max"]), "{seen:?}");
    assert!(has(["pids.max", "pids.max"]), "{seen:?}");
}

#[test]
fn a_chatty_program_takes_twice_its_limit_on_the_disk_at_most() {
    const LIMIT: u64 = 256 * 1024;
    let mut run = Run::script("yes | head -c 20000000; echo end");
    run.request.output_limit_bytes = LIMIT;
    run.start();
    let (present, former) = (run.request.stdout.clone(), run.outside().join("stdout.1"));
    let size = |path| fs::metadata(path).map_or(0, |file| file.len());
    run.wait_until("it has ended", || {
        assert!(size(&present) <= LIMIT && size(&former) <= LIMIT);
        run.exit().is_some()
    });
    assert_eq!(run.finish().outcome, Outcome::Exited { code: 0 });
    assert_eq!(size(&former), LIMIT);
    assert!(run.stdout().ends_with("y\nend\n"), "the last of it is kept");
    let outputs: Vec<_> = names(run.outside())
        .into_iter()
        .filter(|name| name.to_string_lossy().starts_with("stdout"))
        .collect();
    assert_eq!(outputs, ["stdout", "stdout.1"]);
}

#[test]
fn output_that_the_disk_refuses_is_lost_and_nothing_else_is() {
    let mut run = Run::script("yes | head -c 1000000; echo done >&2; exit 5");
    run.request.stdout = "/dev/full".into();
    assert_eq!(run.outcome(), Outcome::Exited { code: 5 });
    assert_eq!(run.stderr(), "done\n");
    let log = run.log();
    assert!(log.contains("/dev/full: 1000000 bytes of output were lost"), "{log}");
}

#[test]
fn a_memory_limit_that_is_too_small_even_for_the_start_is_said_to_be() {
    let mut run = Run::of(&["true"]);
    run.request.limits.memory_bytes = Some(64 << 10);
    let outcome = run.outcome();
    let Outcome::NotStarted { message, .. } = outcome else { panic!("{outcome:?}") };
    assert!(message.contains("a limit of 65536 bytes of memory is too small"), "{message}");
}
