use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn program(arguments: &[&str], path: &str) -> (Program, Report) {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
    let program = Program {
        arguments: arguments.iter().map(|argument| c_string(argument).unwrap()).collect(),
        environment: Vec::new(),
        search: path.split(':').map(PathBuf::from).collect(),
        report: Rc::new(writer),
    };
    (program, Report(reader))
}

fn file(directory: &Path, name: &str, mode: u32, content: &str) -> String {
    let path = directory.join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn message(found: Result<PathBuf, Reason>) -> String {
    let Reason { cause, message } = found.unwrap_err();
    assert_eq!(cause, StartFailure::CommandNotFound);
    message
}

#[test]
fn a_plain_name_is_looked_for_in_the_path_and_one_with_a_slash_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let tool = file(directory.path(), "tool", 0o700, "");
    let path = format!("/nowhere:{}", directory.path().display());
    assert_eq!(program(&["tool"], &path).0.find().unwrap(), Path::new(&tool));
    assert_eq!(program(&[&tool], "").0.find().unwrap(), Path::new(&tool));
    assert_eq!(message(program(&["./tool"], &path).0.find()), "command `./tool` not found");
    assert_eq!(message(program(&["toll"], "/a:/b").0.find()), "command `toll` not found in /a:/b");
}

#[test]
fn a_file_without_permission_is_passed_over_for_a_later_one() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (directory.path().join("1"), directory.path().join("2"));
    fs::create_dir(&first).unwrap();
    fs::create_dir(&second).unwrap();
    let plain = file(&first, "tool", 0o600, "");
    let path = format!("{}:{}", first.display(), second.display());
    let expected =
        format!("`{plain}` is not executable for this user: Permission denied (os error 13)");
    assert_eq!(message(program(&["tool"], &path).0.find()), expected);
    let tool = file(&second, "tool", 0o700, "");
    assert_eq!(program(&["tool"], &path).0.find().unwrap(), Path::new(&tool));
}

#[test]
fn a_directory_is_not_a_program() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap().to_owned();
    assert!(message(program(&[&path], "").0.find()).contains("is not executable"));
}

#[test]
fn a_script_whose_interpreter_is_missing_names_it() {
    let directory = tempfile::tempdir().unwrap();
    let script = file(directory.path(), "script", 0o755, "#! /no/such/shell -x\necho\n");
    let reason = Reason::of(Path::new(&script), &Errno::NOENT.into());
    assert_eq!(reason.message, format!("`{script}` needs `/no/such/shell`, which does not exist"));
}

#[test]
fn the_reason_reaches_the_other_end_and_an_end_without_reason_means_that_it_runs() {
    let (sender, report) = program(&["x"], "");
    assert!(report.outcome().is_none());
    sender.send(&Reason { cause: StartFailure::CommandNotFound, message: "why".to_owned() });
    let error = report.outcome().unwrap().unwrap_err();
    assert_eq!((error.cause(), error.message()), (StartFailure::CommandNotFound, "why".to_owned()));

    let (sender, report) = program(&["x"], "");
    drop(sender);
    report.outcome().unwrap().unwrap();
}
