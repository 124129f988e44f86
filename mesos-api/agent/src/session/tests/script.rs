//! Scenarios as scripts: one command a line, and after it what goes out on the stream.

use std::fmt::Write as _;

use expect_test::Expect;
use meseta_mesos_wire::v1;

use super::super::*;

/// Uid of the task that has `id`, unless a script names another.
pub(super) fn uid_of(id: &str) -> String {
    format!("uid-{id}")
}

pub(super) fn launch(uid: &str, id: &str, progress: Progress) -> Launch {
    let task =
        v1::TaskInfo { task_id: v1::TaskId { value: id.to_owned() }, ..v1::TaskInfo::default() };
    Launch { uid: uid.to_owned(), task, progress }
}

pub(super) fn policy(seconds: &str) -> v1::KillPolicy {
    let nanoseconds = seconds.parse::<i64>().unwrap() * 1_000_000_000;
    v1::KillPolicy { grace_period: Some(v1::DurationInfo { nanoseconds }) }
}

fn acknowledgement(id: &str, uuid: &str) -> Acknowledgement {
    Acknowledgement { task_id: id.to_owned(), uuid: uuid.as_bytes().to_vec() }
}

pub(super) fn show(out: &Out) -> String {
    let ids = |tasks: &[v1::TaskInfo]| {
        tasks.iter().map(|task| task.task_id.value.as_str()).collect::<Vec<_>>().join(" ")
    };
    match out {
        Out::Subscribed => "SUBSCRIBED".to_owned(),
        Out::Launch(task) => format!("LAUNCH {}", task.task_id.value),
        Out::LaunchGroup(tasks) => format!("LAUNCH_GROUP {}", ids(tasks)),
        Out::Kill { task_id, policy: None } => format!("KILL {task_id}"),
        Out::Kill { task_id, policy: Some(policy) } => {
            let grace = policy.grace_period.unwrap().nanoseconds / 1_000_000_000;
            format!("KILL {task_id} grace={grace}")
        }
        Out::Acknowledged(update) => {
            let uuid = String::from_utf8_lossy(&update.uuid);
            format!("ACKNOWLEDGED {} {uuid}", update.task_id)
        }
        Out::Message(data) => format!("MESSAGE {}", String::from_utf8_lossy(data)),
        Out::Shutdown => "SHUTDOWN".to_owned(),
    }
}

pub(super) struct Play {
    session: Session,
    text: String,
}

impl Play {
    fn line(&mut self, line: impl std::fmt::Display) {
        writeln!(self.text, "  {line}").unwrap();
    }

    /// Lets a stream send what it can.
    fn drain(&mut self, number: u64) {
        loop {
            match self.session.next(number) {
                Step::Send(out) => self.line(show(&out)),
                Step::HandOver(_) => {
                    if let Some(out) = self.session.handed_over(number) {
                        self.line(show(&out));
                    }
                }
                Step::Wait => return,
                Step::End => return self.line("end"),
            }
        }
    }

    fn command(&mut self, command: &str) {
        let words: Vec<&str> = command.split(' ').collect();
        match words[..] {
            ["launch", id] => self.launch(&[id], Progress::New, false),
            ["launch", id, "handed"] => self.launch(&[id], Progress::HandedOver, false),
            ["launch", id, "answered"] => self.launch(&[id], Progress::Answered, false),
            ["launch", id, "as", uid] => {
                let launched = self.session.launch(vec![launch(uid, id, Progress::New)], false);
                self.refused(launched);
            }
            ["group", ref ids @ ..] => self.launch(ids, Progress::New, true),
            ["kill", id] => self.kill(id, None, 0),
            ["kill", id, grace] => self.kill(id, Some(policy(grace)), 0),
            ["kill", id, grace, "repeat", n] => {
                self.kill(id, Some(policy(grace)), n.parse().unwrap());
            }
            ["shutdown", at] => {
                let uids = self.session.shutdown(Duration::from_secs(at.parse().unwrap()));
                if !uids.is_empty() {
                    self.line(format!("not handed over: {}", uids.join(" ")));
                }
            }
            ["subscribe", ref listed @ ..] => {
                let before = self.session.number;
                let number = self.session.subscribe();
                if before > 0 {
                    self.drain(before);
                }
                let listed = listed.iter().map(|&id| id.to_owned()).collect();
                self.session.recovered(number, &listed);
            }
            ["disconnect"] => self.session.disconnected(self.session.number),
            ["update", id, state, uuid] => self.update(id, state == "end", uuid, Stored::New),
            ["repeat", id, state, uuid] => self.update(id, state == "end", uuid, Stored::Known),
            ["late", id, uuid] => self.update(id, false, uuid, Stored::AfterEnd),
            ["message", text] => {
                if let Err(error) = self.session.message(Bytes::copy_from_slice(text.as_bytes())) {
                    self.line(error);
                }
            }
            ["remember", id, uuid] => self.session.remember(acknowledgement(id, uuid)),
            ["ended", id] => self.session.ended(&uid_of(id)),
            ["tick", at] => self.session.tick(Duration::from_secs(at.parse().unwrap())),
            ["close"] => self.session.close(),
            ["standing"] => {
                let standing = self.session.standing();
                let flags = [
                    (standing.subscribed, "subscribed"),
                    (standing.connected, "connected"),
                    (standing.overdue, "overdue"),
                    (standing.unneeded, "unneeded"),
                    (standing.grace_over, "grace over"),
                ];
                let mut told: Vec<_> = flags
                    .iter()
                    .filter(|(set, _)| *set)
                    .map(|(_, name)| (*name).to_owned())
                    .collect();
                told.extend(standing.lost.iter().map(|uid| format!("lost {uid}")));
                self.line(if told.is_empty() { "-".to_owned() } else { told.join(", ") });
            }
            _ => panic!("no such command: {command}"),
        }
        if self.session.connected() || self.session.stream == Stream::Refusing {
            self.drain(self.session.number);
        }
    }

    fn launch(&mut self, ids: &[&str], progress: Progress, group: bool) {
        let tasks = ids.iter().map(|id| launch(&uid_of(id), id, progress)).collect();
        let launched = self.session.launch(tasks, group);
        self.refused(launched);
    }

    fn refused(&mut self, launched: Result<(), Refused>) {
        if let Err(refused) = launched {
            self.line(format!("refused: {refused}"));
        }
    }

    fn kill(&mut self, id: &str, policy: Option<v1::KillPolicy>, repeats: i64) {
        match self.session.kill(&uid_of(id), policy, repeats) {
            Killed::Told => {}
            Killed::BeforeHandover(uids) => {
                self.line(format!("killed before handover: {}", uids.join(" ")));
            }
            Killed::NotHere => self.line("not here"),
        }
    }

    fn update(&mut self, id: &str, terminal: bool, uuid: &str, stored: Stored) {
        let acknowledgement = acknowledgement(id, uuid);
        let Some(uid) = self.session.task_of(id).map(str::to_owned) else {
            if !self.session.late(&acknowledgement) {
                self.line("dropped");
            }
            return;
        };
        self.session.stored(&uid, acknowledgement, terminal, stored);
    }
}

/// Plays a script; the executor has to subscribe until second 60.
pub(super) fn check(script: &str, expected: &Expect) {
    let session = Session::new(Duration::from_secs(60));
    let mut play = Play { session, text: String::new() };
    for command in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        play.text.push_str(command);
        play.text.push('\n');
        play.command(command);
    }
    expected.assert_eq(&play.text);
}
