use super::*;

#[test]
fn the_start_time_is_found_behind_a_hostile_program_name() {
    let stat = "42 (a) R 1 (b)) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 10";
    assert_eq!(parse_stat(stat), Some(Process { pid: 42, start_ticks: 987_654 }));
}

#[test]
fn a_cut_file_is_not_understood() {
    assert_eq!(parse_stat("42 (a) S 1 2"), None);
    assert_eq!(parse_stat(""), None);
}

#[test]
fn this_process_has_its_own_pid_and_start_time() {
    let host = HostProc::open().unwrap();
    let this = host.this_process().unwrap();
    assert_eq!(this.pid.unsigned_abs(), std::process::id());
    assert!(this.start_ticks > 0);

    let pid = rustix::process::getpid();
    let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
    assert_eq!(host.process_of(pidfd.as_fd()).unwrap(), this);
}
