//! Values in, text out; and a small cluster in which plans are carried out.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use expect_test::{Expect, expect};
use jiff::{Timestamp, ToSpan as _};
use meseta_crds::condition::{Time, get};
use meseta_crds::framework::TaskSet;
use meseta_crds::task::Container;
use meseta_crds::{Framework, FrameworkSpec, FrameworkStatus, TaskState};
use proptest::prelude::*;

use super::{Action, Desired, Observed, Plan, Task, names, plan};

/// `map*3 reduce*1<map` : sets with replicas and what they depend on; `web*2!0` allows no failure.
fn framework(text: &str) -> Framework {
    let task_sets = text.split_whitespace().map(|word| {
        let (word, depends_on) = word.split_once('<').unwrap_or((word, ""));
        let (word, max_failures) = word.split_once('!').unwrap_or((word, "1"));
        let (name, replicas) = word.split_once('*').unwrap();
        let mut set = TaskSet {
            name: name.to_owned(),
            replicas: replicas.parse().unwrap(),
            max_failures: max_failures.parse().unwrap(),
            depends_on: depends_on
                .split(',')
                .filter(|d| !d.is_empty())
                .map(str::to_owned)
                .collect(),
            ..TaskSet::default()
        };
        set.template.spec.containers = vec![Container::default()];
        set
    });
    let spec = FrameworkSpec {
        role: "default".to_owned(),
        task_sets: task_sets.collect(),
        ..FrameworkSpec::default()
    };
    let mut framework = Framework::new("job", spec);
    framework.metadata.uid = Some("u".to_owned());
    framework.metadata.generation = Some(7);
    framework
}

fn now() -> Timestamp {
    "2026-01-01T00:10:00Z".parse().unwrap()
}

/// `map-0:Running map-1-r2:Failed` with `~` for an old template, `!` for a deletion under way,
/// `@seconds` for how long ago it ended.
fn tasks(framework: &Framework, text: &str) -> Vec<Task> {
    let one = |word: &str| {
        let (name, state) = word.split_once(':').unwrap();
        let (state, ended) = state.split_once('@').unwrap_or((state, "100"));
        let old = state.contains('~');
        let deleting = state.contains('!');
        let state = state.trim_matches(['~', '!']);
        let mut parts = name.split('-');
        let task_set = parts.next().unwrap().to_owned();
        let index = parts.next().unwrap().parse().unwrap();
        let incarnation = parts.next().map_or(0, |part| part[1..].parse().unwrap());
        let set = framework.spec.task_sets.iter().find(|set| set.name == task_set);
        let hash = set.map(|set| names::template_hash("default", set)).unwrap_or_default();
        let (state, placed) = match state {
            "Placed" => (TaskState::Pending, true),
            state => {
                let state: TaskState = serde_json::from_value(state.into()).unwrap();
                (state, state != TaskState::Pending)
            }
        };
        Task {
            name: format!("job-{name}"),
            uid: format!("uid-{name}"),
            resource_version: "1".to_owned(),
            task_set,
            index,
            incarnation,
            template_hash: if old { "old-1".to_owned() } else { hash },
            state,
            reason: (state == TaskState::Failed).then(|| "NonZeroExit".to_owned()),
            placed,
            deleting,
            created: now() - 200.seconds(),
            ended: state.is_terminal().then(|| now() - ended.parse::<i64>().unwrap().seconds()),
        }
    };
    text.split_whitespace().map(one).collect()
}

fn print(plan: &Plan) -> String {
    let mut text = String::new();
    for action in &plan.actions {
        match action {
            Action::Create(task) => writeln!(text, "create {}", task.name).unwrap(),
            Action::Delete { name, resource_version, .. } => {
                let guard = if resource_version.is_some() { " if unchanged" } else { "" };
                writeln!(text, "delete {name}{guard}").unwrap();
            }
        }
    }
    if let Some(after) = plan.requeue_after {
        writeln!(text, "again after {after:?}").unwrap();
    }
    let status = &plan.status;
    writeln!(
        text,
        "{} {}: {}",
        status.state.as_deref().unwrap_or_default(),
        status.summary.as_deref().unwrap_or_default(),
        status.message.as_deref().unwrap_or_default()
    )
    .unwrap();
    for condition in &status.conditions {
        write!(text, "{}={}({}) ", condition.type_, condition.status, condition.reason).unwrap();
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn check(spec: &str, observed: &str, expected: Expect) {
    check_after(spec, None, observed, expected);
}

#[expect(clippy::needless_pass_by_value, reason = "an `Expect` is written in place")]
fn check_after(spec: &str, status: Option<&FrameworkStatus>, observed: &str, expected: Expect) {
    let framework = framework(spec);
    let observed = Observed { now: Time(now()), tasks: tasks(&framework, observed), status };
    let text = match Desired::validate(&framework) {
        Ok(desired) => print(&plan(&desired, &observed)),
        Err(invalid) => format!("invalid: {invalid}\n"),
    };
    expected.assert_eq(&text);
}

#[test]
fn a_new_framework_starts_the_sets_that_wait_for_nothing() {
    check(
        "map*2 reduce*1<map",
        "",
        expect![[r#"
        create job-map-0
        create job-map-1
        Pending 0/3: set reduce waits for map: 0 of 2 finished
        Ready=False(Progressing) Succeeded=Unknown(Progressing) Stalled=False(Progressing)
    "#]],
    );
}

#[test]
fn a_set_starts_when_what_it_waits_for_has_finished() {
    check(
        "map*4 reduce*1<map",
        "map-0:Finished map-1:Finished map-2:Finished map-3:Running",
        expect![[r#"
            Running 3/5: set reduce waits for map: 3 of 4 finished
            Ready=False(Progressing) Succeeded=Unknown(Progressing) Stalled=False(Progressing)
        "#]],
    );
    check(
        "map*2 reduce*1<map",
        "map-0:Finished map-1:Finished",
        expect![[r#"
        create job-reduce-0
        Running 2/3: 2 of 3 tasks have finished, 0 on their way
        Ready=False(Progressing) Succeeded=Unknown(Progressing) Stalled=False(Progressing)
    "#]],
    );
}

#[test]
fn everything_finished_is_success() {
    check(
        "map*1 reduce*1<map",
        "map-0:Finished reduce-0:Finished",
        expect![[r#"
        Succeeded 2/2: all 2 tasks have finished
        Ready=True(Completed) Succeeded=True(Completed) Stalled=False(Completed)
    "#]],
    );
}

#[test]
fn running_services_are_ready_without_having_succeeded() {
    check(
        "web*2",
        "web-0:Running web-1:Running",
        expect![[r#"
        Running 0/2: 0 of 2 tasks have finished, 2 on their way
        Ready=True(Running) Succeeded=Unknown(Running) Stalled=False(Running)
    "#]],
    );
}

#[test]
fn a_failure_is_replaced_at_once_and_the_next_after_a_delay() {
    check(
        "map*1!2",
        "map-0:Failed@0",
        expect![[r#"
        create job-map-0-r1
        Pending 0/1: set map: 1 task to be replaced
        Ready=False(Progressing) Succeeded=Unknown(Progressing) Stalled=False(Progressing)
    "#]],
    );
    check(
        "map*1!2",
        "map-0:Failed map-0-r1:Failed@0",
        expect![[r#"
        again after 1s
        Pending 0/1: set map: 1 task to be replaced
        Ready=False(Progressing) Succeeded=Unknown(Progressing) Stalled=False(Progressing)
    "#]],
    );
}

#[test]
fn one_failure_too_many_fails_the_framework_and_ends_the_rest() {
    check(
        "map*2!0 web*1",
        "map-0:Failed map-1:Running web-0:Pending",
        expect![[r#"
        delete job-web-0
        delete job-map-1
        Failed 0/3: set map failed: 1 failures, 0 allowed; the last was job-map-0: NonZeroExit
        Ready=False(MaxFailuresExceeded) Succeeded=False(MaxFailuresExceeded) Stalled=True(MaxFailuresExceeded)
    "#]],
    );
}

#[test]
fn only_failures_of_the_current_template_count() {
    check(
        "map*1!0",
        "map-0:Failed~",
        expect![[r#"
        create job-map-0-r1
        Pending 0/1: set map: 1 task to be replaced
        Ready=False(Progressing) Succeeded=Unknown(Progressing) Stalled=False(Progressing)
    "#]],
    );
}

#[test]
fn what_never_ran_or_was_lost_is_replaced_without_counting() {
    check(
        "map*3!0",
        "map-0:Lost map-1:Dropped map-2:Killed",
        expect![[r#"
        create job-map-0-r1
        create job-map-1-r1
        create job-map-2-r1
        Pending 0/3: set map: 3 tasks to be replaced
        Ready=False(Progressing) Succeeded=Unknown(Progressing) Stalled=False(Progressing)
    "#]],
    );
    check(
        "map*1!0",
        "map-0:Lost map-0-r1:Lost map-0-r2:Running",
        expect![[r#"
        delete job-map-0
        Running 0/1: 0 of 1 tasks have finished, 1 on their way
        Ready=True(Running) Succeeded=Unknown(Running) Stalled=False(Running)
    "#]],
    );
}

#[test]
fn a_task_on_a_silent_agent_keeps_its_index() {
    check(
        "map*1",
        "map-0:Unreachable",
        expect![[r#"
        Running 0/1: set map: 1 task on silent agents
        Ready=False(Progressing) Succeeded=Unknown(Progressing) Stalled=False(Progressing)
    "#]],
    );
}

#[test]
fn a_task_that_is_being_ended_is_waited_for() {
    check(
        "map*1",
        "map-0:Killing!",
        expect![[r#"
        Running 0/1: 0 of 1 tasks have finished, 1 on their way
        Ready=False(Progressing) Succeeded=Unknown(Progressing) Stalled=False(Progressing)
    "#]],
    );
}

#[test]
fn fewer_replicas_remove_the_highest_indexes_the_idle_first() {
    check(
        "web*1",
        "web-0:Running web-1:Running web-2:Pending web-3:Placed",
        expect![[r#"
        delete job-web-2
        delete job-web-3
        delete job-web-1
        Running 0/1: 0 of 1 tasks have finished, 1 on their way
        Ready=True(Running) Succeeded=Unknown(Running) Stalled=False(Running)
    "#]],
    );
}

#[test]
fn a_set_that_left_the_spec_is_ended() {
    check(
        "web*1",
        "web-0:Running old-0:Running",
        expect![[r#"
        delete job-old-0
        Running 0/1: 0 of 1 tasks have finished, 1 on their way
        Ready=True(Running) Succeeded=Unknown(Running) Stalled=False(Running)
    "#]],
    );
}

#[test]
fn another_template_replaces_only_what_has_no_agent() {
    check(
        "web*2",
        "web-0:Running~ web-1:Pending~",
        expect![[r#"
        delete job-web-1 if unchanged
        Running 0/2: set web: 1 task waiting for an agent; set web: 1 task with an earlier template, until they end
        Ready=False(Progressing) Succeeded=Unknown(Progressing) Stalled=False(Progressing)
    "#]],
    );
}

#[test]
fn a_spec_that_cannot_be_carried_out_says_why() {
    check(
        "a*1<b b*1<a c*1<nowhere c*-1",
        "",
        expect![[r#"
        invalid: two sets are named c; set c has -1 replicas; set c depends on nowhere, which does not exist; sets depend on each other in a circle: a, b, a
    "#]],
    );
}

#[test]
fn a_complete_set_stays_complete_without_its_records() {
    let framework = framework("map*1 reduce*1<map");
    let desired = Desired::validate(&framework).unwrap();
    let tasks = tasks(&framework, "map-0:Finished");
    let observed = Observed { now: Time(now()), tasks, status: None };
    let status = plan(&desired, &observed).status;
    check_after(
        "map*1 reduce*1<map",
        Some(&status),
        "reduce-0:Running",
        expect![[r#"
        Running 1/2: 1 of 2 tasks have finished, 1 on their way
        Ready=True(Running) Succeeded=Unknown(Running) Stalled=False(Running)
    "#]],
    );
}

#[test]
fn no_replicas_are_complete() {
    check(
        "map*0 reduce*0<map",
        "",
        expect![[r#"
        Succeeded 0/0: no tasks are wanted
        Ready=True(Completed) Succeeded=True(Completed) Stalled=False(Completed)
    "#]],
    );
}

#[test]
fn names_and_labels_fit_however_long_the_framework_is() {
    let name = names::task_name(&"f".repeat(250), "set", 1, 12);
    assert!(name.len() <= 253);
    assert_ne!(name, names::task_name(&"f".repeat(250), "set", 2, 12));
    assert!(names::label_value(&"f".repeat(64)).len() <= 63);
    assert_eq!(names::task_name("job", "map", 3, 0), "job-map-3");
    assert_eq!(names::task_name("job", "map", 3, 2), "job-map-3-r2");
}

#[test]
fn a_task_knows_its_place() {
    let framework = framework("map*2");
    let desired = Desired::validate(&framework).unwrap();
    let observed = Observed { now: Time(now()), tasks: vec![], status: None };
    let plan = plan(&desired, &observed);
    let Action::Create(task) = &plan.actions[1] else { panic!("the second is created too") };
    let env: Vec<_> =
        task.spec.containers[0].env.iter().map(|e| format!("{}={}", e.name, e.value)).collect();
    expect![[r#"
        [
            "MESETA_TASK_INDEX=1",
            "MESETA_TASK_COUNT=2",
        ]
    "#]]
    .assert_debug_eq(&env);
    let owner = task.spec.owner.as_ref().unwrap();
    assert_eq!((owner.framework.as_str(), owner.framework_uid.as_str()), ("job", "u"));
    assert_eq!((owner.task_set.as_str(), owner.index, owner.incarnation), ("map", 1, 0));
    assert_eq!(task.labels["meseta.dev/framework"], "job");
    assert_eq!(task.labels["meseta.dev/task-set"], "map");
}

/// The records of one framework, as a server keeps them.
#[derive(Clone, Default)]
struct World {
    tasks: BTreeMap<String, Task>,
    status: Option<FrameworkStatus>,
    versions: u64,
    seconds: i64,
}

impl World {
    fn version(&mut self) -> String {
        self.versions += 1;
        self.versions.to_string()
    }

    fn now(&self) -> Timestamp {
        now() + self.seconds.seconds()
    }

    fn apply(&mut self, action: &Action) {
        match action {
            Action::Create(new) => {
                let owner = new.spec.owner.clone().unwrap();
                let task = Task {
                    name: new.name.clone(),
                    uid: format!("uid{}", self.versions),
                    resource_version: self.version(),
                    task_set: owner.task_set,
                    index: owner.index,
                    incarnation: owner.incarnation,
                    template_hash: owner.template_hash,
                    state: TaskState::Pending,
                    reason: None,
                    placed: false,
                    deleting: false,
                    created: self.now(),
                    ended: None,
                };
                self.tasks.entry(new.name.clone()).or_insert(task);
            }
            Action::Delete { name, uid, resource_version } => {
                let version = self.version();
                let Some(task) = self.tasks.get_mut(name) else { return };
                let unchanged =
                    resource_version.as_ref().is_none_or(|seen| *seen == task.resource_version);
                if task.uid != *uid || !unchanged {
                    return;
                }
                if task.placed && !task.state.is_terminal() {
                    task.deleting = true;
                    task.resource_version = version;
                } else {
                    self.tasks.remove(name);
                }
            }
        }
    }

    /// Something that allocator, agent or a person does to some task.
    fn happen(&mut self, which: prop::sample::Index, what: Happening) {
        if self.tasks.is_empty() {
            return;
        }
        let version = self.version();
        let now = self.now();
        let name = self.tasks.keys().nth(which.index(self.tasks.len())).unwrap().clone();
        let task = self.tasks.get_mut(&name).unwrap();
        if task.state.is_terminal() {
            return;
        }
        task.resource_version = version;
        match what {
            Happening::Place => task.placed = true,
            Happening::Move(state) if task.placed && !task.deleting => {
                task.state = state;
                task.ended = state.is_terminal().then_some(now);
            }
            Happening::Gone if task.deleting || !task.placed => {
                self.tasks.remove(&name);
            }
            Happening::Move(_) | Happening::Gone => {}
        }
    }

    fn check(&self, framework: &Framework) -> Result<(), TestCaseError> {
        for set in &framework.spec.task_sets {
            let active: Vec<i64> = self
                .tasks
                .values()
                .filter(|task| task.task_set == set.name && !task.state.is_terminal())
                .map(|task| task.index)
                .collect();
            prop_assert!(i64::try_from(active.len()).unwrap() <= set.replicas);
            let distinct: std::collections::BTreeSet<_> = active.iter().collect();
            prop_assert_eq!(distinct.len(), active.len());
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
enum Happening {
    Place,
    Move(TaskState),
    Gone,
}

fn happening() -> impl Strategy<Value = Happening> {
    let state = prop::sample::select(vec![
        TaskState::Running,
        TaskState::Finished,
        TaskState::Failed,
        TaskState::Killed,
        TaskState::Dropped,
        TaskState::Lost,
        TaskState::Unreachable,
    ]);
    prop_oneof![
        3 => Just(Happening::Place),
        4 => state.prop_map(Happening::Move),
        1 => Just(Happening::Gone)
    ]
}

#[derive(Clone, Debug)]
enum Step {
    /// Plan on what was true so many steps ago, but never on less than was seen before.
    Plan {
        lag: usize,
    },
    Happen(prop::sample::Index, Happening),
    Tick(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4usize).prop_map(|lag| Step::Plan { lag }),
        8 => (any::<prop::sample::Index>(), happening()).prop_map(|(i, h)| Step::Happen(i, h)),
        1 => (0..90i64).prop_map(Step::Tick),
    ]
}

fn run(framework: &Framework, view: &World) -> Plan {
    let desired = Desired::validate(framework).unwrap();
    let observed = Observed {
        now: Time(view.now()),
        tasks: view.tasks.values().cloned().collect(),
        status: view.status.as_ref(),
    };
    plan(&desired, &observed)
}

proptest! {
    #[test]
    fn never_more_than_wanted_and_always_an_end(
        steps in prop::collection::vec(step(), 0..60),
        replicas in 0..4i64,
        max_failures in 0..3i64,
    ) {
        let framework =
            framework(&format!("map*{replicas}!{max_failures} reduce*1<map side*2!{max_failures}"));
        let mut history = vec![World::default()];
        let mut seen = 0;
        for step in steps {
            let mut world = history.last().unwrap().clone();
            match step {
                Step::Plan { lag } => {
                    seen = seen.max((history.len() - 1).saturating_sub(lag));
                    let view = &history[seen];
                    let plan = run(&framework, view);
                    for action in &plan.actions {
                        if let Action::Delete { name, uid, .. } = action {
                            let shown = view.tasks.get(name).is_some_and(|task| task.uid == *uid);
                            prop_assert!(shown, "{} was not observed", name);
                        }
                        world.apply(action);
                        world.check(&framework)?;
                    }
                    world.status = Some(plan.status);
                }
                Step::Happen(which, what) => world.happen(which, what),
                Step::Tick(seconds) => world.seconds += seconds,
            }
            history.push(world);
        }
        // From here everything goes well: the framework ends within bounded passes.
        let mut world = history.pop().unwrap();
        for pass in 0.. {
            prop_assert!(pass < 40, "no end: {}", print(&run(&framework, &world)));
            let plan = run(&framework, &world);
            for action in &plan.actions {
                world.apply(action);
                world.check(&framework)?;
            }
            let again = run(&framework, &world);
            for action in &again.actions {
                // Applied once, nothing of the same plan is left to do.
                prop_assert!(!plan.actions.contains(action), "repeated {:?}", action);
            }
            world.status = Some(plan.status.clone());
            let done = plan.status.conditions.iter().any(|condition| {
                condition.type_ == "Succeeded" && condition.status != "Unknown"
            });
            if done && plan.actions.is_empty() {
                let stalled = get(&plan.status.conditions, "Stalled").unwrap();
                let failed = plan.status.state.as_deref() == Some("Failed");
                prop_assert_eq!(stalled.status == "True", failed);
                break;
            }
            world.seconds += 61;
            let ended = world.now();
            world.tasks.retain(|_, task| !task.deleting);
            for task in world.tasks.values_mut().filter(|task| !task.state.is_terminal()) {
                task.placed = true;
                task.state = TaskState::Finished;
                task.ended = Some(ended);
            }
        }
    }
}
