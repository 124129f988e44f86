//! A small language for scenarios; each line tells the allocator something or asks it something.
//!
//! ```text
//! agent one cpu=4 memory=8Gi zone:eu closed      an agent with attributes; `closed` takes no tasks
//! role eng weight=2 cpu<8                        a role with weight and limit
//! task t cpu=1 role=eng fw=f prio=1 made=5 vol=v in:zone=eu,us at=one over
//! gone agent one | gone role eng | gone task t
//! allocate [n] | confirm t | forget t | explain t | shares
//! ```

use std::fmt::Write as _;

use expect_test::Expect;
use jiff::Timestamp;
use meseta_crds::task::{Constraint, ConstraintOperator};
use meseta_crds::{Quantity, ResourceList};

use crate::allocator::{AgentRow, Allocator, Decisions, RoleRow, SeatKey, TaskKey, TaskRow};

/// Runs a script and compares what was answered.
#[expect(clippy::needless_pass_by_value, reason = "an `Expect` is written in place")]
pub(super) fn check(script: &str, expected: Expect) {
    let mut allocator = Allocator::new();
    let mut answers = String::new();
    let mut now = 0;
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match line.strip_prefix("now ") {
            Some(time) => now = time.parse().unwrap(),
            None => run(&mut allocator, line, now, &mut answers),
        }
    }
    expected.assert_eq(&answers);
}

fn run(allocator: &mut Allocator, line: &str, now: i64, answers: &mut String) {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        ["agent", name, rest @ ..] => allocator.upsert_agent(agent(name, rest)),
        ["role", path, rest @ ..] => allocator.upsert_role(role(path, rest)),
        ["task", name, rest @ ..] => allocator.upsert_task(task(name, rest)),
        ["seat", at] => allocator.upsert_seat(seat(at), false),
        ["suppress", at] => allocator.upsert_seat(seat(at), true),
        ["revive", at] => allocator.revive(&seat(at)),
        ["hold", offer] => allocator.hold(offer.parse().unwrap()),
        ["decline", offer, until @ ..] => {
            let until = until.first().map(|until| until.parse().unwrap());
            allocator.decline(offer.parse().unwrap(), until);
        }
        ["accept", at, offers, until, tasks @ ..] => {
            let key = seat(at);
            let row = |text: &&str| {
                let words: Vec<&str> = text.split(',').collect();
                TaskRow {
                    framework: Some(key.framework.clone()),
                    role: key.role.clone(),
                    ..task(words[0], &words[1..])
                }
            };
            let offers: Vec<u64> = offers.split(',').map(|id| id.parse().unwrap()).collect();
            let until = until.parse().ok();
            let result = allocator.accept(&offers, tasks.iter().map(row).collect(), until);
            if let Err(error) = result {
                writeln!(answers, "{error}").unwrap();
            }
        }
        ["deadline"] => writeln!(answers, "{:?}", allocator.next_deadline()).unwrap(),
        ["gone", "agent", name] => allocator.remove_agent(name),
        ["gone", "role", path] => allocator.remove_role(path),
        ["gone", "task", name] => allocator.remove_task(&key(name)),
        ["gone", "seat", at] => allocator.remove_seat(&seat(at)),
        ["confirm", name] => allocator.confirm(&key(name)),
        ["forget", name] => allocator.forget(&key(name)),
        ["allocate", rest @ ..] => {
            let room = rest.first().map_or(usize::MAX, |room| room.parse().unwrap());
            writeln!(answers, "{}", decided(&allocator.decide(now, room))).unwrap();
        }
        ["explain", name] => match allocator.explain(&key(name)) {
            Some(explanation) => writeln!(answers, "{explanation}").unwrap(),
            None => writeln!(answers, "-").unwrap(),
        },
        ["shares"] => {
            for share in allocator.role_shares() {
                let held: Vec<String> =
                    share.allocated.iter().map(|(name, q)| format!("{name}={q}")).collect();
                writeln!(
                    answers,
                    "{} {:.1}% {:?} pending={}",
                    share.path,
                    share.dominant_share * 100.0,
                    held.join(" "),
                    share.pending_tasks
                )
                .unwrap();
            }
        }
        _ => panic!("not understood: {line}"),
    }
}

/// `t1@a` a placement, `#1:f@a(cpu=2)` an offer to the framework `f`, `-#1` one taken back.
fn decided(decisions: &Decisions) -> String {
    let Decisions { placements, offers, rescinded } = decisions;
    let placements = placements.iter().map(|p| format!("{}@{}", p.task.name, p.agent));
    let offers = offers.iter().map(|offer| {
        let resources = offer.resources.iter().map(|(name, amount)| format!("{name}={amount}"));
        let resources: Vec<String> = resources.collect();
        let (framework, agent) = (&offer.seat.framework, &offer.agent);
        format!("#{}:{framework}@{agent}({})", offer.id, resources.join(" "))
    });
    let rescinded = rescinded.iter().map(|id| format!("-#{id}"));
    let all: Vec<String> = placements.chain(offers).chain(rescinded).collect();
    if all.is_empty() { "-".to_owned() } else { all.join(" ") }
}

/// `f` in the default role, or `f/eng/etl`.
fn seat(text: &str) -> SeatKey {
    let (framework, role) = text.split_once('/').unwrap_or((text, "default"));
    SeatKey { framework: framework.to_owned(), role: role.to_owned() }
}

pub(super) fn key(name: &str) -> TaskKey {
    TaskKey { namespace: "default".to_owned(), name: name.to_owned() }
}

pub(super) fn amounts(text: &str) -> ResourceList {
    let pairs = text.split_whitespace().map(|word| word.split_once('=').unwrap());
    pairs.map(|(name, amount)| (name.to_owned(), Quantity::new(amount))).collect()
}

fn agent(name: &str, words: &[&str]) -> AgentRow {
    let mut row = AgentRow {
        name: name.to_owned(),
        capacity: ResourceList::new(),
        attributes: std::collections::BTreeMap::new(),
        schedulable: true,
    };
    for word in words {
        if *word == "closed" {
            row.schedulable = false;
        } else if let Some((attribute, value)) = word.split_once(':') {
            row.attributes.insert(attribute.to_owned(), value.to_owned());
        } else {
            row.capacity.extend(amounts(word));
        }
    }
    row
}

fn role(path: &str, words: &[&str]) -> RoleRow {
    let mut row = RoleRow {
        path: path.to_owned(),
        weight: 1,
        limits: ResourceList::new(),
        guarantees: ResourceList::new(),
    };
    for word in words {
        match word.split_once('=') {
            Some((_, weight)) => row.weight = weight.parse().unwrap(),
            None if word.contains('>') => row.guarantees.extend(amounts(&word.replace('>', "="))),
            None => row.limits.extend(amounts(&word.replace('<', "="))),
        }
    }
    row
}

fn task(name: &str, words: &[&str]) -> TaskRow {
    let mut row = TaskRow {
        key: key(name),
        uid: format!("uid-{name}"),
        framework: None,
        role: "default".to_owned(),
        priority: 0,
        created: Timestamp::UNIX_EPOCH,
        resources: ResourceList::new(),
        constraints: Vec::new(),
        shared_volumes: Vec::new(),
        agent: None,
        terminal: false,
    };
    for word in words {
        if let Some((operator, rest)) = word.split_once(':') {
            row.constraints.push(constraint(operator, rest));
            continue;
        }
        match word.split_once('=').unwrap_or((word, "")) {
            ("over", _) => row.terminal = true,
            ("role", path) => row.role = path.to_owned(),
            ("fw", uid) => row.framework = Some(uid.to_owned()),
            ("prio", priority) => row.priority = priority.parse().unwrap(),
            ("made", second) => {
                row.created = Timestamp::from_second(second.parse().unwrap()).unwrap();
            }
            ("vol", name) => row.shared_volumes.push(name.to_owned()),
            ("at", agent) => row.agent = Some(agent.to_owned()),
            ("uid", uid) => row.uid = uid.to_owned(),
            _ => row.resources.extend(amounts(word)),
        }
    }
    row
}

/// `in:zone=eu,us`, `notin:zone=eu`, `exists:zone`, `absent:zone`.
fn constraint(operator: &str, rest: &str) -> Constraint {
    let (attribute, values) = rest.split_once('=').unwrap_or((rest, ""));
    Constraint {
        attribute: attribute.to_owned(),
        operator: match operator {
            "in" => ConstraintOperator::In,
            "notin" => ConstraintOperator::NotIn,
            "exists" => ConstraintOperator::Exists,
            "absent" => ConstraintOperator::DoesNotExist,
            _ => panic!("no operator {operator}"),
        },
        values: values.split(',').filter(|v| !v.is_empty()).map(str::to_owned).collect(),
    }
}
