//! How runs end: exit codes, signals, and everything that keeps a program from running.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use meseta_shim_api::{Answer, Command, Outcome, Phase, StartFailure};
use rustix::process::Signal;

use crate::fixture::Run;

/// Puts a program into the run's sandbox.
fn program(run: &Run, name: &str, mode: u32, content: &str) {
    let path = run.sandbox().join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
}

/// Runs something that must not start, and returns why.
fn not_started(run: &Run) -> (StartFailure, String) {
    let exit = run.start().finish();
    assert_eq!(exit.started_unix_millis, None);
    match exit.outcome {
        Outcome::NotStarted { cause, message } => (cause, message),
        other => panic!("it started: {other:?}"),
    }
}

fn command_not_found(run: &Run) -> String {
    let (cause, message) = not_started(run);
    assert_eq!(cause, StartFailure::CommandNotFound, "{message}");
    message
}

#[test]
fn a_program_that_succeeds_exits_with_0() {
    let run = Run::of(&["true"]);
    let exit = run.start().finish();
    assert_eq!(exit.outcome, Outcome::Exited { code: 0 });
    assert!(exit.started_unix_millis.unwrap() <= exit.finished_unix_millis);
    assert_eq!(exit.oom_kills, 0);
}

#[test]
fn the_exit_code_of_the_program_is_kept() {
    assert_eq!(Run::script("exit 42").outcome(), Outcome::Exited { code: 42 });
}

#[test]
fn codes_that_shells_use_for_missing_commands_are_the_programs_own() {
    assert_eq!(Run::script("no-such-command").outcome(), Outcome::Exited { code: 127 });
}

#[test]
fn standard_output_and_error_go_to_their_files() {
    let run = Run::script("echo out; echo err >&2");
    run.outcome();
    assert_eq!((run.stdout().as_str(), run.stderr().as_str()), ("out\n", "err\n"));
}

#[test]
fn a_graceful_end_is_sigterm_and_what_the_program_makes_of_it() {
    let run = Run::script("trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.05; done");
    run.start().wait_for(Phase::Running);
    run.wait_until("the trap is set", || run.stdout() == "ready\n");
    assert_eq!(run.signal(Signal::TERM), Answer::Ok);
    assert_eq!(run.finish().outcome, Outcome::Exited { code: 7 });
    assert_eq!(run.stdout(), "ready\nbye\n");
}

#[test]
fn a_program_that_ignores_sigterm_is_ended_by_sigkill_with_all_its_children() {
    let run = Run::script("trap '' TERM; setsid sleep 1000 & echo ready; wait");
    run.start().wait_for(Phase::Running);
    run.wait_until("it is ready", || run.stdout() == "ready\n");
    assert_eq!(run.signal(Signal::TERM), Answer::Ok);
    assert!(matches!(run.ask(&Command::Acknowledge), Answer::Failed { .. }));
    assert_eq!(run.signal(Signal::KILL), Answer::Ok);
    assert_eq!(run.finish().outcome, Outcome::Signaled { signal: 9 });
}

#[test]
fn sigterm_to_all_ends_a_program_that_does_nothing_about_it() {
    let run = Run::script("echo ready; sleep 1000000");
    run.start().wait_for(Phase::Running);
    run.wait_until("it is ready", || run.stdout() == "ready\n");
    assert_eq!(run.terminate_all(), Answer::Ok);
    assert_eq!(run.finish().outcome, Outcome::Signaled { signal: 15 });
}

#[test]
fn sigterm_to_all_ends_a_shell_before_its_next_command_and_after_its_children() {
    let child = "trap 'sleep 0.2; echo bye; exit' TERM; echo ready; while :; do sleep 0.01; done";
    let run = Run::script(&format!("sh -c \"{child}\"; echo next; sleep 1000000"));
    run.start().wait_for(Phase::Running);
    run.wait_until("the trap is set", || run.stdout() == "ready\n");
    assert_eq!(run.terminate_all(), Answer::Ok);
    // It is asked twice by an agent that died in between.
    assert_eq!(run.terminate_all(), Answer::Ok);
    assert_eq!(run.finish().outcome, Outcome::Signaled { signal: 15 });
    assert!(run.stdout().starts_with("ready\nbye\n"), "{}", run.stdout());
    assert!(!run.stdout().contains("next"), "{}", run.stdout());
}

#[test]
fn sigterm_to_all_leaves_the_end_to_a_first_process_that_catches_it() {
    let run = Run::script("trap 'echo bye; exit 7' TERM; sleep 1000000 & echo ready; wait; wait");
    run.start().wait_for(Phase::Running);
    run.wait_until("the trap is set", || run.stdout() == "ready\n");
    assert_eq!(run.terminate_all(), Answer::Ok);
    assert_eq!(run.finish().outcome, Outcome::Exited { code: 7 });
    assert_eq!(run.stdout(), "ready\nbye\n");
}

#[test]
fn a_kill_after_sigterm_to_all_ends_what_is_deaf() {
    let run = Run::script("sh -c \"trap '' TERM; echo ready; exec sleep 1000000\"; echo next");
    run.start().wait_for(Phase::Running);
    run.wait_until("it is ready", || run.stdout() == "ready\n");
    assert_eq!(run.terminate_all(), Answer::Ok);
    assert_eq!(run.signal(Signal::KILL), Answer::Ok);
    assert_eq!(run.finish().outcome, Outcome::Signaled { signal: 9 });
    assert_eq!(run.stdout(), "ready\n");
}

#[test]
fn a_signal_that_is_none_and_one_that_comes_too_late_are_refused() {
    let run = Run::script("read line < pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        run.sandbox().join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    run.start().wait_for(Phase::Running);
    assert!(matches!(
        run.ask(&Command::Signal { signal: 99, to_all: false }),
        Answer::Failed { .. }
    ));
    fs::write(run.sandbox().join("pipe"), "go\n").unwrap();
    run.wait_for(Phase::Ended);
    assert!(matches!(run.signal(Signal::TERM), Answer::Failed { .. }));
    assert_eq!(run.finish().outcome, Outcome::Exited { code: 0 });
}

#[test]
fn a_command_that_does_not_exist_is_named() {
    let message = command_not_found(&Run::of(&["no-such-command"]));
    assert_eq!(message, "command `no-such-command` not found in /usr/local/bin:/usr/bin:/bin");
    let message = command_not_found(&Run::of(&["/no/such/command"]));
    assert_eq!(message, "command `/no/such/command` not found");
}

#[test]
fn a_script_without_its_interpreter_is_named() {
    let run = Run::of(&["./script"]);
    program(&run, "script", 0o755, "#!/no/such/shell\n");
    let message = command_not_found(&run);
    assert_eq!(message, "`./script` needs `/no/such/shell`, which does not exist");
}

#[test]
fn a_file_that_is_not_executable_is_named() {
    let run = Run::of(&["./tool"]);
    program(&run, "tool", 0o644, "#!/bin/sh\n");
    assert!(command_not_found(&run).starts_with("`./tool` is not executable for this user"));
}

#[test]
fn a_file_that_is_no_program_is_named() {
    let run = Run::of(&["./text"]);
    program(&run, "text", 0o755, "hello\n");
    assert!(command_not_found(&run).starts_with("`./text` is neither a program for this machine"));
}

#[test]
fn a_program_that_only_its_owner_may_execute_runs_as_its_owner() {
    let run = Run::of(&["./tool"]);
    program(&run, "tool", 0o700, "#!/bin/sh\nexit 3\n");
    assert_eq!(run.outcome(), Outcome::Exited { code: 3 });
}

#[test]
fn a_working_directory_that_does_not_exist_is_named() {
    let mut run = Run::of(&["true"]);
    run.request.working_dir = "/mnt/sandbox/no/such".into();
    let (cause, message) = not_started(&run);
    assert_eq!(cause, StartFailure::Other);
    let expected = "working directory `/mnt/sandbox/no/such` cannot be entered in the container";
    assert!(message.starts_with(expected), "{message}");
}

#[test]
fn what_libcontainer_says_is_in_the_message() {
    let mut run = Run::of(&["true"]);
    // A directory cannot be mounted over a file.
    run.request.binds[0].target = "/etc/passwd".into();
    run.request.working_dir = "/".into();
    let (_, message) = not_started(&run);
    assert!(message.contains("; it said: "), "{message}");
    assert!(run.log().contains("not started") || run.log().contains("NotStarted"), "{}", run.log());
}

#[test]
fn an_ended_run_is_acknowledged_once_and_its_socket_is_gone() {
    let run = Run::of(&["true"]);
    run.start().finish();
    assert!(!run.directory().join("shim.sock").exists());
}
