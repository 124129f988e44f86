//! What may happen, and how often.

use std::collections::BTreeMap;

use jiff::Timestamp;
use meseta_crds::ResourceList;
use proptest::prelude::*;
use proptest::sample::Index;

use super::super::script::{amounts, key};
use crate::allocator::{AgentRow, RoleRow, SeatKey, TaskRow};

/// One thing that happens.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Agent(AgentRow),
    AgentGone(String),
    Role(RoleRow),
    RoleGone(String),
    Seat(SeatKey, bool),
    SeatGone(SeatKey),
    Revive(SeatKey),
    Task(TaskRow),
    Hold(Index),
    /// With a filter of so many milliseconds.
    Decline(Index, i64),
    /// Uses all of the offer, half of it, or a little, or too much of it.
    Accept(Index, Use, i64),
    /// Settles a task that is assumed: written or not.
    Settle(Index, bool),
    /// Ends a task that is placed.
    Over(Index),
    Wait(i64),
    Decide(usize),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Use {
    Half,
    All,
    TooMuch,
    Nothing,
}

pub(super) fn task(name: &str, seat: &SeatKey) -> TaskRow {
    TaskRow {
        key: key(name),
        uid: String::new(),
        framework: Some(seat.framework.clone()),
        role: seat.role.clone(),
        priority: 0,
        created: Timestamp::UNIX_EPOCH,
        resources: ResourceList::new(),
        constraints: Vec::new(),
        shared_volumes: Vec::new(),
        agent: None,
        terminal: false,
    }
}

pub(super) fn role_path() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "a/b", "c"]).prop_map(str::to_owned)
}

pub(super) fn agent_name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["one", "two", "three"]).prop_map(str::to_owned)
}

pub(super) fn seat_key() -> impl Strategy<Value = SeatKey> {
    (0..2, role_path()).prop_map(|(number, role)| SeatKey { framework: format!("f{number}"), role })
}

pub(super) fn agent() -> impl Strategy<Value = AgentRow> {
    (agent_name(), 0..9i64, 0..5i64, 0..2i64, 0..2i32, prop::bool::weighted(0.85)).prop_map(
        |(name, cpu, memory, gpu, zone, schedulable)| AgentRow {
            name,
            capacity: amounts(&format!("cpu={cpu} memory={memory}Gi gpu={gpu}")),
            attributes: BTreeMap::from([("zone".to_owned(), zone.to_string())]),
            schedulable,
        },
    )
}

pub(super) fn role() -> impl Strategy<Value = RoleRow> {
    let limits = prop::option::weighted(0.3, 0..9i64);
    let guarantees = prop::option::weighted(0.2, 1..9i64);
    (role_path(), 1..4i64, limits, guarantees).prop_map(|(path, weight, limits, guarantees)| {
        let cpus =
            |cpu: Option<i64>| cpu.map(|cpu| amounts(&format!("cpu={cpu}"))).unwrap_or_default();
        RoleRow { path, weight, limits: cpus(limits), guarantees: cpus(guarantees) }
    })
}

pub(super) fn waiting() -> impl Strategy<Value = TaskRow> {
    (0..6, seat_key(), 0..4i64, 0..3i64).prop_map(|(number, seat, cpu, memory)| TaskRow {
        resources: amounts(&format!("cpu={cpu} memory={memory}Gi")),
        ..task(&format!("t{number}"), &seat)
    })
}

pub(super) fn event() -> impl Strategy<Value = Event> {
    let filter = || prop::sample::select(vec![0, 1, 1000, 5000]);
    let used =
        prop::sample::select(vec![Use::Half, Use::Half, Use::All, Use::TooMuch, Use::Nothing]);
    prop_oneof![
        3 => agent().prop_map(Event::Agent),
        1 => agent_name().prop_map(Event::AgentGone),
        2 => role().prop_map(Event::Role),
        1 => role_path().prop_map(Event::RoleGone),
        4 => (seat_key(), prop::bool::weighted(0.2)).prop_map(|(key, s)| Event::Seat(key, s)),
        1 => seat_key().prop_map(Event::SeatGone),
        1 => seat_key().prop_map(Event::Revive),
        3 => waiting().prop_map(Event::Task),
        1 => any::<Index>().prop_map(Event::Hold),
        8 => (any::<Index>(), filter()).prop_map(|(which, time)| Event::Decline(which, time)),
        6 => (any::<Index>(), used, filter())
            .prop_map(|(which, used, time)| Event::Accept(which, used, time)),
        4 => (any::<Index>(), prop::bool::weighted(0.8))
            .prop_map(|(which, written)| Event::Settle(which, written)),
        3 => any::<Index>().prop_map(Event::Over),
        3 => prop::sample::select(vec![1, 1000, 5000, 60_000]).prop_map(Event::Wait),
        1 => (0..2usize).prop_map(Event::Decide),
        9 => Just(Event::Decide(usize::MAX)),
    ]
}
