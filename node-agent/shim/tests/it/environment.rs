//! What a program finds in its container.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use meseta_shim_api::Outcome;

use crate::fixture::Run;

/// What the script prints.
fn output(run: &Run) -> String {
    assert_eq!(run.outcome(), Outcome::Exited { code: 0 }, "{}", run.stderr());
    run.stdout()
}

fn script(script: &str) -> String {
    output(&Run::script(script))
}

/// One field of `/proc/self/status` in a container.
fn status(field: &str) -> String {
    let run = Run::of(&["grep", &format!("^{field}:"), "/proc/self/status"]);
    output(&run).split_whitespace().nth(1).unwrap().to_owned()
}

#[test]
fn the_environment_is_what_was_asked_for_and_nothing_else() {
    let mut run = Run::of(&["env"]);
    run.request.env = vec![
        ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
        ("EQUALS".to_owned(), "a=b".to_owned()),
        ("EMPTY".to_owned(), String::new()),
    ];
    assert_eq!(output(&run), "PATH=/usr/bin:/bin\nEQUALS=a=b\nEMPTY=\n");
}

#[test]
fn a_program_is_found_without_a_path_in_the_environment() {
    let mut run = Run::of(&["env"]);
    run.request.env.clear();
    assert_eq!(output(&run), "");
}

#[test]
fn it_starts_in_its_working_directory_as_process_1_with_its_own_host_name() {
    assert_eq!(script("pwd; echo $$; uname -n"), "/mnt/sandbox\n1\ntask\n");
}

#[test]
fn it_runs_as_the_user_that_was_asked_for() {
    let mut run = Run::script("id -u; id -g; id -G");
    (run.request.uid, run.request.gid) = (1234, 4321);
    assert_eq!(output(&run), "1234\n4321\n4321\n");
}

#[test]
fn a_user_may_open_its_standard_output_by_name() {
    let mut run = Run::script("echo hello > /dev/stdout; echo error > /dev/stderr");
    (run.request.uid, run.request.gid) = (1234, 1234);
    assert_eq!(output(&run), "hello\n");
    assert_eq!(run.stderr(), "error\n");
}

#[test]
fn standard_input_is_empty() {
    assert_eq!(script("cat; readlink /proc/self/fd/0"), "/dev/null\n");
}

#[test]
fn no_descriptor_of_the_shim_leaks() {
    // 3 is the directory that `ls` reads.
    assert_eq!(script("ls /proc/self/fd"), "0\n1\n2\n3\n");
}

#[test]
fn no_signal_is_blocked_or_ignored() {
    // 32 and 33 belong to the C library, which lets nobody change what they were.
    const OURS: u64 = !(0b11 << 31);
    for field in ["SigBlk", "SigIgn"] {
        let signals = u64::from_str_radix(&status(field), 16).unwrap();
        assert_eq!(signals & OURS, 0, "{field} {signals:x}");
    }
}

#[test]
fn root_holds_few_capabilities_and_another_user_none() {
    // CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP, NET_BIND_SERVICE,
    // SYS_CHROOT, AUDIT_WRITE, SETFCAP.
    let root = "00000000a00405fb";
    assert_eq!(status("CapEff"), root);
    assert_eq!(status("CapBnd"), root);
    assert_eq!(status("CapInh"), "0000000000000000");
    assert_eq!(status("NoNewPrivs"), "1");

    let mut run = Run::of(&["grep", "^Cap[PEA]", "/proc/self/status"]);
    (run.request.uid, run.request.gid) = (1234, 1234);
    let held = output(&run);
    assert!(held.lines().all(|line| line.ends_with("\t0000000000000000")), "{held}");
}

#[test]
fn it_may_open_a_thousand_files_and_raise_that_itself() {
    assert_eq!(script("ulimit -Sn; ulimit -c"), "1024\n0\n");
    script("ulimit -Sn 4096");
}

#[test]
fn its_files_are_made_with_the_usual_mask() {
    assert_eq!(script("umask; touch f; stat -c %a f"), "0022\n644\n");
}

#[test]
fn it_sees_no_process_but_its_own() {
    assert_eq!(script("echo /proc/[0-9]*"), "/proc/1\n");
}

#[test]
fn it_sees_its_own_control_group_as_the_root() {
    let groups = script("cat /proc/self/cgroup");
    let of = |name: &str| groups.lines().find(|line| line.contains(name)).map(str::to_owned);
    let memory = of(":memory:").or_else(|| of("0::")).unwrap();
    assert!(memory.ends_with(":/"), "{groups}");
}

#[test]
fn paths_that_tell_about_the_machine_are_masked() {
    assert_eq!(script("cat /proc/kcore /proc/keys /proc/timer_list | wc -c | tr -d ' '"), "0\n");
    script("! echo 1 2>/dev/null > /proc/sys/kernel/panic");
    script("! touch /sys/x 2>/dev/null");
}

#[test]
fn it_can_make_no_device_and_open_none_but_the_usual() {
    script("! mknod disk b 254 0 2>/dev/null");
    script("set -e; for device in full null random urandom zero; do : < /dev/$device; done");
    let run = Run::script("cat node");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        run.sandbox().join("node"),
        rustix::fs::FileType::CharacterDevice,
        rustix::fs::Mode::from_raw_mode(0o666),
        rustix::fs::makedev(1, 1),
    )
    .unwrap();
    assert_eq!(run.outcome(), Outcome::Exited { code: 1 });
    assert!(run.stderr().contains("Permission denied"), "{}", run.stderr());
}

#[test]
fn set_user_id_programs_give_nothing() {
    let mut run = Run::script("./id -u");
    let copy = run.sandbox().join("id");
    fs::copy("/usr/bin/id", &copy).unwrap();
    fs::set_permissions(&copy, Permissions::from_mode(0o4755)).unwrap();
    (run.request.uid, run.request.gid) = (1234, 1234);
    assert_eq!(output(&run), "1234\n");
}

#[test]
fn the_machine_kills_it_before_agents_and_shims_when_memory_is_short() {
    let run = Run::script("cat /proc/self/oom_score_adj");
    assert_eq!(output(&run), "300\n");
}
