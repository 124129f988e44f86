use super::*;

fn io_error(errno: rustix::io::Errno) -> Error {
    Err::<(), _>(errno).context(|| "write state").unwrap_err()
}

#[test]
fn a_full_disk_and_a_used_up_quota_are_told_apart_from_other_failures() {
    assert_eq!(io_error(rustix::io::Errno::NOSPC).cause(), StartFailure::DiskFull);
    assert_eq!(io_error(rustix::io::Errno::DQUOT).cause(), StartFailure::DiskFull);
    assert_eq!(io_error(rustix::io::Errno::PERM).cause(), StartFailure::Other);
}

#[test]
fn a_full_disk_is_recognised_in_what_libcontainer_says_but_not_a_cpuset_without_cpus() {
    let runtime = |said: &str| Error::Runtime {
        explanation: String::new(),
        source: Box::new(LibcontainerError::Other("failed to prepare rootfs".to_owned())),
        said: said.to_owned(),
    };
    assert_eq!(runtime("mkdir: No space left on device").cause(), StartFailure::DiskFull);
    assert_eq!(runtime("ENOSPC writing cgroup.procs").cause(), StartFailure::Other);
}

#[test]
fn a_message_has_the_whole_chain_on_one_line() {
    let error = Error::Runtime {
        explanation: String::new(),
        source: Box::new(LibcontainerError::Other("first\nsecond".to_owned())),
        said: "third".to_owned(),
    };
    assert_eq!(error.message(), "cannot create the container: first second; it said: third");
}

#[test]
fn a_long_message_is_cut_between_characters() {
    let message = Error::Refused("ü".repeat(MAX_MESSAGE_BYTES)).message();
    assert!(message.len() <= MAX_MESSAGE_BYTES && message.chars().all(|c| c == 'ü'));
}
