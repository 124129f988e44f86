//! What the allocator costs at growing sizes: agents with ten tasks each, a hundred roles.
//!
//! CPU time of this process, per operation. The last line of each table is the exponent of its growth
//! (the slope in a log-log plot): 0 is a cost that does not depend on the size of the cluster.
//!
//! ```text
//! cargo bench -p meseta-planning --bench allocator
//! ```

#![expect(clippy::print_stdout, reason = "a benchmark prints figures")]
#![expect(clippy::cast_precision_loss, reason = "figures are for people")]

mod offers;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use meseta_crds::{Quantity, ResourceList};
use meseta_planning::allocator::{AgentRow, Allocator, Placement, RoleRow, TaskKey, TaskRow};
use rustix::time::{ClockId, clock_gettime};

/// Clusters, in agents; each twice as large as the one before.
const SIZES: [usize; 4] = [1000, 2000, 4000, 8000];
const TASKS_PER_AGENT: usize = 10;
const ROLES: usize = 100;
/// Frameworks of each role.
const FRAMEWORKS: usize = 10;
/// Cycles that a small cost is averaged over.
const ROUNDS: usize = 100;
/// Tasks that end and come anew in one cycle.
const CHURN: usize = 100;

fn main() {
    // The largest first: what follows finds memory that this process has already.
    let mut measured: Vec<Figures> = SIZES.iter().rev().map(|agents| measure(*agents)).collect();
    measured.reverse();
    println!("CPU time per operation, {ROLES} roles, {TASKS_PER_AGENT} tasks per agent");
    let column = |name: &str, of: fn(&Figures) -> Duration| {
        let costs: Vec<f64> = measured.iter().map(|f| of(f).as_secs_f64() * 1e6).collect();
        let cells: Vec<String> = costs.iter().map(|us| format!("{us:10.2}")).collect();
        println!("{name:44} {} us   N^{:.2}", cells.join(" "), exponent(&costs));
    };
    let sizes: Vec<String> = SIZES.iter().map(|agents| format!("{agents:10}")).collect();
    println!("{:44} {} agents", "", sizes.join(" "));
    column("a task seen and placed, empty cluster", |f| f.fill);
    column("a cycle without news", |f| f.idle);
    column("a task ended, seen, placed; cluster has room", |f| f.churn);
    column("a task ended, one of a backlog placed", |f| f.backlog);
    column("an agent that joins, per cycle", |f| f.join);
    column("an explanation over all agents", |f| f.explain);
    if let Some(largest) = measured.last() {
        println!("{:44} {:43} bytes", "memory of a task that is placed", largest.bytes);
    }
    offers::print();
}

/// Cost of one operation of each kind.
struct Figures {
    fill: Duration,
    idle: Duration,
    churn: Duration,
    backlog: Duration,
    join: Duration,
    explain: Duration,
    bytes: usize,
}

fn measure(agents: usize) -> Figures {
    let tasks = agents * TASKS_PER_AGENT;
    let mut allocator = Allocator::new();
    for number in 0..ROLES {
        allocator.upsert_role(RoleRow {
            path: role(number),
            weight: i64::try_from(number % 3).unwrap_or_default() + 1,
            limits: ResourceList::new(),
            guarantees: ResourceList::new(),
        });
    }
    (0..agents).for_each(|number| allocator.upsert_agent(agent(number)));

    let resident = resident_bytes();
    let fill = cost(tasks, || {
        (0..tasks).for_each(|number| allocator.upsert_task(task(number)));
        let placed = allocator.decide(0, tasks).placements;
        assert_eq!(placed.len(), tasks, "there is room for all");
        placed.iter().for_each(|placement| allocator.confirm(&placement.task));
    });
    let bytes = resident_bytes().saturating_sub(resident) / tasks;
    let idle = cost(ROUNDS, || {
        (0..ROUNDS).for_each(|_| assert_eq!(allocator.decide(0, usize::MAX).placements.len(), 0));
    });
    let churn = cost(ROUNDS * CHURN, || {
        let mut next = 0;
        for _ in 0..ROUNDS {
            for number in (0..CHURN).map(|step| (next + step * 7) % tasks) {
                allocator.remove_task(&task(number).key);
                allocator.upsert_task(task(number));
            }
            next += CHURN * 7;
            assert_eq!(confirm(&mut allocator), CHURN, "there is room for all");
        }
    });
    // The rest of the cluster is filled, and every framework has more than fits.
    let backlog: Vec<TaskRow> = (tasks..3 * tasks).map(task).collect();
    backlog.into_iter().for_each(|row| allocator.upsert_task(row));
    let mut placed: Vec<Placement> = allocator.decide(0, usize::MAX).placements;
    placed.iter().for_each(|placement| allocator.confirm(&placement.task));
    let backlog = cost(ROUNDS, || {
        for _ in 0..ROUNDS {
            let ended = placed.pop().map(|placement| placement.task);
            allocator.remove_task(&ended.unwrap_or_else(|| task(0).key));
            confirm(&mut allocator);
        }
    });
    let waiting = (tasks..3 * tasks).map(|number| task(number).key);
    let waiting = waiting.rev().find(|key| allocator.explain(key).is_some());
    let waiting = waiting.unwrap_or_else(|| task(0).key);
    let explain = cost(ROUNDS, || {
        for round in 0..ROUNDS {
            // What was counted before is out of date.
            let row = AgentRow { schedulable: round % 2 == 0, ..agent(0) };
            allocator.upsert_agent(row);
            assert!(allocator.explain(&waiting).is_some());
        }
    });
    let join = cost(ROUNDS, || {
        for number in agents..agents + ROUNDS {
            allocator.upsert_agent(agent(number));
            confirm(&mut allocator);
        }
    });
    Figures { fill, idle, churn, backlog, join, explain, bytes }
}

/// Places what can be placed; returns how much that was.
fn confirm(allocator: &mut Allocator) -> usize {
    let placed = allocator.decide(0, usize::MAX).placements;
    placed.iter().for_each(|placement| allocator.confirm(&placement.task));
    placed.len()
}

fn role(number: usize) -> String {
    format!("org{}/team{number}", number % 10)
}

/// 16 cpus and 64 GiB, of which ten tasks take about half.
fn agent(number: usize) -> AgentRow {
    AgentRow {
        name: format!("agent-{number:05}"),
        capacity: amounts(&[("cpu", 16_000), ("memory", 64 << 30)]),
        attributes: BTreeMap::from([("zone".to_owned(), format!("zone-{}", number % 3))]),
        schedulable: true,
    }
}

/// One of a few sizes, in one of the frameworks of one of the roles.
fn task(number: usize) -> TaskRow {
    let framework = number % (ROLES * FRAMEWORKS);
    let size = i64::try_from(framework % 4).unwrap_or_default() + 1;
    TaskRow {
        key: TaskKey { namespace: "default".to_owned(), name: format!("task-{number:07}") },
        uid: format!("uid-{number}"),
        framework: Some(format!("framework-{framework}")),
        role: role(framework % ROLES),
        priority: 0,
        created: Timestamp::UNIX_EPOCH,
        resources: amounts(&[("cpu", 400 * size), ("memory", size << 30)]),
        constraints: Vec::new(),
        shared_volumes: Vec::new(),
        agent: None,
        terminal: false,
    }
}

fn amounts(list: &[(&str, i64)]) -> ResourceList {
    let quantity = |(name, amount): &(&str, i64)| {
        let quantity = match *name {
            "cpu" => Quantity::from_millis(*amount),
            _ => Quantity::from_bytes(*amount),
        };
        ((*name).to_owned(), quantity)
    };
    list.iter().map(quantity).collect()
}

/// CPU time of this process for one of `operations`.
fn cost(operations: usize, run: impl FnOnce()) -> Duration {
    let begin = cpu_time();
    run();
    (cpu_time() - begin) / u32::try_from(operations).unwrap_or(u32::MAX)
}

fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or_default())
}

/// Memory of this process that is in use.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<usize>().ok());
    kib.unwrap_or_default() * 1024
}

/// Slope of the least-squares line through the logarithms.
fn exponent(costs: &[f64]) -> f64 {
    let points: Vec<(f64, f64)> =
        SIZES.iter().zip(costs).map(|(n, cost)| ((*n as f64).ln(), cost.ln())).collect();
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (mean_x, mean_y) = (mean(|p| p.0), mean(|p| p.1));
    let covariance: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let variance: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    covariance / variance
}
