//! Offers: every scheduler declines everything, round after round, as in `DeclineOffers` of Mesos.

use std::collections::VecDeque;
use std::time::Duration;

use meseta_planning::allocator::{AgentRow, Allocator, OfferId, SeatKey, TaskRow};

use super::{SIZES, agent, amounts, cost, exponent, task};

/// Schedulers, all in one role.
const SCHEDULERS: [usize; 2] = [100, 1000];
/// Rounds that the cost of an offer is averaged over.
const ROUNDS: usize = 20;
/// Cycles with little news that are averaged over.
const SMALL_CYCLES: usize = 100;
/// Filters last longer than the benchmark, in milliseconds.
const FILTER: i64 = 3_600_000;
/// Pairs of agents and schedulers up to which all are made to refuse all: it takes an offer for each.
const MOST_PAIRS: usize = 1_000_000;

/// What one size costs.
struct Figures {
    /// A cycle in which everything is free, and all offers of it declined.
    cycle: Duration,
    /// One of these offers, made and declined.
    offer: Duration,
    /// One offer declined, and made to somebody else, while all others are out.
    single: Duration,
    /// A cycle after an agent was freed that all have refused, as all others: nothing is offered.
    refused: Option<Duration>,
}

/// Prints all figures.
pub(super) fn print() {
    for schedulers in SCHEDULERS {
        let mut measured: Vec<Figures> =
            SIZES.iter().rev().map(|agents| measure(*agents, schedulers)).collect();
        measured.reverse();
        println!("\nCPU time, {schedulers} schedulers that decline everything");
        let sizes: Vec<String> = SIZES.iter().map(|agents| format!("{agents:10}")).collect();
        println!("{:44} {} agents", "", sizes.join(" "));
        let line = |name: &str, of: fn(&Figures) -> Option<Duration>| {
            let costs: Vec<Option<f64>> =
                measured.iter().map(|f| of(f).map(|cost| cost.as_secs_f64() * 1e6)).collect();
            let cell = |cost: &Option<f64>| match cost {
                Some(us) => format!("{us:10.2}"),
                None => format!("{:>10}", "-"),
            };
            let cells: Vec<String> = costs.iter().map(cell).collect();
            let known: Option<Vec<f64>> = costs.into_iter().collect();
            let growth = known.map_or(String::new(), |costs| format!("N^{:.2}", exponent(&costs)));
            println!("{name:44} {} us   {growth}", cells.join(" "));
        };
        line("a cycle that offers all agents, declined", |f| Some(f.cycle));
        line("an offer in it, made and declined", |f| Some(f.offer));
        line("one offer declined and made to another", |f| Some(f.single));
        line("one agent freed, after all have refused all", |f| f.refused);
    }
    println!("\nMesos, published, on other machines (all frameworks in one role):");
    println!("  1.8.0, a cycle without filters, 2018: 1k agents and 100 frameworks < 0.1 s,");
    println!(
        "  5k and 500: 0.4 s, 10k and 1k: 1.1 s, 20k and 2k: 3.8 s (growth N^1.8 when both double)"
    );
    println!(
        "  1.12-dev, one core of two: 110 to 150 us per offer; everything declined, 1k agents:"
    );
    println!("  50 frameworks 0.65 s, 100: 0.95 s, 200: 3.8 s per cycle that offers nothing");
}

fn measure(agents: usize, schedulers: usize) -> Figures {
    let mut allocator = Allocator::new();
    for number in 0..agents {
        let row = agent(number);
        allocator.upsert_task(half_of(&row, number));
        allocator.upsert_agent(row);
    }
    for number in 0..schedulers {
        let framework = format!("framework-{number:04}");
        allocator.upsert_seat(SeatKey { framework, role: "all".to_owned() }, false);
    }
    let mut offers = 0;
    let cycles = cost(1, || (0..ROUNDS).for_each(|_| offers += round(&mut allocator)));
    let divided = |cost: Duration, by: usize| cost / u32::try_from(by).unwrap_or(u32::MAX).max(1);
    // Everything is out; one offer after the other is declined and made to somebody else.
    let offers_out = allocator.decide(0, usize::MAX).offers;
    let mut out: VecDeque<OfferId> = offers_out.iter().map(|offer| offer.id).collect();
    let single = cost(SMALL_CYCLES, || {
        for _ in 0..SMALL_CYCLES {
            out.pop_front().into_iter().for_each(|id| allocator.decline(id, Some(FILTER)));
            out.extend(allocator.decide(0, usize::MAX).offers.iter().map(|offer| offer.id));
        }
    });
    out.into_iter().for_each(|id| allocator.decline(id, Some(FILTER)));
    let refused = (agents * schedulers <= MOST_PAIRS).then(|| {
        while round(&mut allocator) > 0 {}
        cost(SMALL_CYCLES, || {
            for step in 0..SMALL_CYCLES {
                free_one(&mut allocator, step, agents);
                assert_eq!(round(&mut allocator), 0, "all is refused");
            }
        })
    });
    Figures { cycle: divided(cycles, ROUNDS), offer: divided(cycles, offers), single, refused }
}

/// One cycle, and all that was offered is declined; returns how many offers that was.
fn round(allocator: &mut Allocator) -> usize {
    let offers = allocator.decide(0, usize::MAX).offers;
    offers.iter().for_each(|offer| allocator.decline(offer.id, Some(FILTER)));
    offers.len()
}

/// A task takes what is free on one of the agents, and ends.
fn free_one(allocator: &mut Allocator, step: usize, agents: usize) {
    let row = agent((step * 7919) % agents);
    let blocker = half_of(&row, agents + step);
    let key = blocker.key.clone();
    allocator.upsert_task(blocker);
    allocator.remove_task(&key);
}

/// A task that holds half of an agent.
fn half_of(row: &AgentRow, number: usize) -> TaskRow {
    TaskRow {
        resources: amounts(&[("cpu", 8_000), ("memory", 32 << 30)]),
        agent: Some(row.name.clone()),
        ..task(number)
    }
}
