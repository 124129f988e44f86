//! How runs end: exit codes, signals, output.

use meseta_shim_api::{Answer, Command, Outcome, Phase};
use rustix::process::Signal;

use crate::fixture::Run;

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
fn standard_output_and_error_go_to_their_files() {
    let run = Run::script("echo out; echo err >&2");
    run.outcome();
    assert_eq!((run.stdout().as_str(), run.stderr().as_str()), ("out\n", "err\n"));
}

#[test]
fn a_signal_reaches_the_program_and_kill_ends_it() {
    let run = Run::script("trap 'echo term' TERM; echo ready; while :; do sleep 0.05; done");
    run.start().wait_for(Phase::Running);
    run.wait_until("the trap is set", || run.stdout() == "ready\n");
    assert_eq!(run.signal(Signal::TERM), Answer::Ok);
    run.wait_until("the signal has arrived", || run.stdout().contains("term"));
    assert!(matches!(run.ask(&Command::Acknowledge), Answer::Failed { .. }));
    assert_eq!(run.signal(Signal::KILL), Answer::Ok);
    assert_eq!(run.finish().outcome, Outcome::Signaled { signal: 9 });
}
