//! Shims that are killed, asked to end, refused, or many.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Instant;

use meseta_shim_api::{Outcome, Phase, StartFailure};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::Signal;

use crate::fixture::{Run, is_alive, names, shim};

#[test]
fn a_shim_that_is_asked_to_end_ends_its_container_and_cleans_up() {
    let run = Run::script("trap '' TERM; sleep 1000 & wait");
    run.start().wait_for(Phase::Running);
    let shim = run.checkpoint().unwrap().shim;
    run.signal_shim(Signal::TERM);
    run.wait_until("the shim has left", || !is_alive(shim));
    assert_eq!(run.exit().unwrap().outcome, Outcome::Signaled { signal: 9 });
    assert_eq!(run.checkpoint().unwrap().phase, Phase::Ended);
    run.assert_nothing_is_left();
}

#[test]
fn a_shim_that_waits_for_its_acknowledgement_leaves_when_it_is_asked_to_end() {
    let run = Run::of(&["true"]);
    run.start().wait_for(Phase::Ended);
    let shim = run.checkpoint().unwrap().shim;
    run.signal_shim(Signal::TERM);
    run.wait_until("the shim has left", || !is_alive(shim));
    run.assert_nothing_is_left();
}

/// Kills the shim, and checks that nothing of its container lives on.
fn kill_shim(run: &Run) {
    let checkpoint = run.checkpoint().unwrap();
    run.signal_shim(Signal::KILL);
    run.wait_until("the shim is dead", || !is_alive(checkpoint.shim));
    run.wait_until("the container is dead", || run.processes().is_empty());
    run.wait_until("nothing else is left", || run.shims().is_empty());
    let container = run.checkpoint().unwrap().container;
    assert!(!container.is_some_and(is_alive), "{container:?} is alive");
    run.assert_no_mount();
}

#[test]
fn a_container_that_changed_user_session_and_children_dies_with_its_shim() {
    let run = Run::script(
        "trap '' TERM HUP
         setsid sh -c 'setsid sleep 1000 & sleep 1000' &
         exec setpriv --reuid=1234 --regid=1234 --clear-groups --pdeathsig=clear \
             sh -c 'touch /proc/self/comm; echo ready; sleep 1000'",
    );
    run.start().wait_for(Phase::Running);
    run.wait_until("it is ready", || run.stdout() == "ready\n");
    run.wait_until("all of its processes exist", || run.processes().len() >= 4);
    kill_shim(&run);
    assert_eq!(run.exit(), None);
}

#[test]
fn a_shim_that_is_killed_at_any_moment_leaves_no_process_behind_and_tells_no_lie() {
    /// So many kills, spread over the time that a start and a short run take.
    const KILLS: u32 = 80;
    /// Long, chatty, short and failing.
    const SCRIPTS: [&str; 4] = ["exec sleep 1000", "exec yes", "exit 0", "exit 3"];
    let whole = {
        let run = Run::script(SCRIPTS[2]);
        let begin = Instant::now();
        run.start().finish();
        begin.elapsed()
    };
    let mut hits = BTreeMap::new();
    for (kill, script) in (0..KILLS).zip(SCRIPTS.into_iter().cycle()) {
        let run = Run::script(script);
        run.start();
        // Not a wait for something: the delay is what is varied.
        thread::sleep(whole * kill / KILLS);
        kill_shim(&run);
        *hits.entry(run.checkpoint().unwrap().phase).or_insert(0) += 1;
        let outcome = run.exit().map(|exit| exit.outcome);
        let code = match script {
            "exit 0" => 0,
            "exit 3" => 3,
            _ => -1,
        };
        assert!(outcome.is_none_or(|outcome| outcome == Outcome::Exited { code }), "{script}");
    }
    println!("kills by phase: {hits:?}");
    assert!(hits.len() >= 2, "all kills fell into one phase: {hits:?}");
}

#[test]
fn a_disk_that_fills_up_while_the_program_runs_does_not_lose_its_exit() {
    let run = Run::script("echo ready; read line < /mnt/sandbox/go; exit 9");
    let fifo = run.sandbox().join("go");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let directory = run.directory();
    let disk = SmallDisk::at(&directory, 128);
    run.start().wait_for(Phase::Running);
    fs::write(run.directory().join("filler"), vec![0; 1 << 20]).unwrap_err();
    fs::write(&fifo, "\n").unwrap();
    run.wait_until("exit.json is there", || run.exit().is_some());
    assert_eq!(run.exit().unwrap().outcome, Outcome::Exited { code: 9 });
    fs::remove_file(run.directory().join("filler")).unwrap();
    run.signal_shim(Signal::TERM);
    let shim = run.checkpoint().unwrap().shim;
    run.wait_until("the shim has left", || !is_alive(shim));
    assert!(run.processes().is_empty());
    drop(disk);
}

/// A file system with little room, mounted for the time of a test.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn at(path: &'a Path, kilobytes: usize) -> Self {
        let options = std::ffi::CString::new(format!("size={kilobytes}k")).unwrap();
        mount("tmpfs", path, "tmpfs", MountFlags::empty(), Some(options.as_c_str())).unwrap();
        Self(path)
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        // A failed test has a shim in there still.
        let _ = unmount(self.0, UnmountFlags::DETACH);
    }
}

#[test]
fn many_containers_at_once_do_not_disturb_each_other() {
    let runs: Vec<Run> = (0..20)
        .map(|number| Run::script(&format!("echo {number}; echo {number} >&2; exit {number}")))
        .collect();
    thread::scope(|scope| {
        for run in &runs {
            scope.spawn(|| run.start());
        }
    });
    for (number, run) in (0..).zip(&runs) {
        assert_eq!(run.finish().outcome, Outcome::Exited { code: number });
        assert_eq!(run.stdout(), format!("{number}\n"));
        assert_eq!(run.stderr(), format!("{number}\n"));
    }
}

/// Launches something that must be refused before anything exists, and returns the reason.
fn refused(run: &Run) -> String {
    let output = run.launch();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_request_that_makes_no_sense_is_refused_before_anything_exists() {
    let mut run = Run::of(&[]);
    assert_eq!(refused(&run), "meseta-shim: there is no command to run\n");
    run.request.args = vec!["true".to_owned()];
    run.request.working_dir = "sandbox".into();
    assert!(refused(&run).contains("working directory must be an absolute path without `..`"));
    run.request.working_dir = "/".into();
    run.request.limits.pids = Some(1);
    assert!(refused(&run).contains("a limit of 1 processes is too small"));
    assert_eq!(names(&run.directory()), ["run.json"]);
    assert!(run.group_directories(&run.request.cgroup).is_empty());
}

#[test]
fn a_directory_without_a_request_is_refused() {
    let run = Run::of(&["true"]);
    let output = shim().arg(run.directory()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert_eq!(complaint, "meseta-shim: there is no run.json\n");
}

#[test]
fn a_run_directory_is_used_once() {
    let run = Run::of(&["sleep", "1000"]);
    run.start().wait_for(Phase::Running);
    assert!(refused(&run).contains("this run directory was used before"));
    run.signal(Signal::KILL);
    run.finish();
    assert!(refused(&run).contains("this run directory was used before"));
    run.assert_nothing_is_left();
}

#[test]
fn the_program_explains_how_it_is_called() {
    let output = shim().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert_eq!(complaint, "meseta-shim: usage: meseta-shim <run directory>\n");
}

#[test]
fn the_shim_is_in_a_control_group_of_its_own_and_holds_nothing_of_its_agent() {
    let run = Run::of(&["sleep", "1000"]);
    run.start().wait_for(Phase::Running);
    let pid = run.checkpoint().unwrap().shim.pid;
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let shims = run.request.cgroup.with_file_name("shims");
    assert!(groups.contains(shims.to_str().unwrap()), "{groups}");
    assert_eq!(fs::read(format!("/proc/{pid}/environ")).unwrap().iter().max(), None);
    let null = Path::new("/dev/null");
    for descriptor in 0..=2 {
        assert_eq!(fs::read_link(format!("/proc/{pid}/fd/{descriptor}")).unwrap(), null);
    }
    assert_eq!(fs::read_link(format!("/proc/{pid}/cwd")).unwrap(), Path::new("/"));
    let score = fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap();
    let own = fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    assert_eq!(score, own, "the container's value does not stay with the shim");
    run.signal(Signal::KILL);
    run.finish();
}

#[test]
fn a_run_directory_on_a_full_disk_is_refused_and_left_as_it_was() {
    let run = Run::of(&["true"]);
    let directory = run.directory();
    let disk = SmallDisk::at(&directory, 128);
    fs::write(directory.join("run.json"), serde_json::to_vec(&run.request).unwrap()).unwrap();
    fs::write(directory.join("filler"), vec![0; 1 << 20]).unwrap_err();
    let output = shim().arg(&directory).output().unwrap();
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(complaint.contains("No space left on device"), "{complaint}");
    assert_eq!(names(&directory), ["filler", "run.json"]);
    drop(disk);
}

#[test]
fn a_disk_too_small_at_any_step_is_said_to_be_full_and_nothing_is_left() {
    let mut full = 0;
    for kilobytes in (12..=48).step_by(4) {
        let run = Run::of(&["true"]);
        let directory = run.directory();
        let disk = SmallDisk::at(&directory, kilobytes);
        fs::write(directory.join("run.json"), serde_json::to_vec(&run.request).unwrap()).unwrap();
        if shim().arg(&directory).output().unwrap().status.success() {
            run.wait_until("exit.json is there", || run.exit().is_some());
            match run.exit().unwrap().outcome {
                Outcome::Exited { code: 0 } => {}
                Outcome::NotStarted { cause: StartFailure::DiskFull, .. } => full += 1,
                other => panic!("{other:?}"),
            }
            let shim = run.checkpoint().unwrap().shim;
            run.signal_shim(Signal::TERM);
            run.wait_until("the shim has left", || !is_alive(shim));
        }
        assert!(run.group_directories(&run.request.cgroup).is_empty());
        assert!(!directory.join("state").exists(), "{}", run.log());
        drop(disk);
    }
    assert!(full > 0, "the disk was never full in the middle");
}
