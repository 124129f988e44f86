//! An agent, a gateway that loses its memory, and a scheduler, in any order of events.
//!
//! What is checked of every history, and after it when all goes well again:
//! - the scheduler sees the updates in order: each for the first time only after it acknowledged
//!   all before it, and none before the terminal one after that;
//! - one is in flight: what is sent is always the first that the scheduler did not acknowledge, or,
//!   after the memory was lost, an earlier one;
//! - the record is freed only when the scheduler acknowledged the terminal update;
//! - in the end every update was seen, the record is freed, and nothing more is sent.

use proptest::prelude::*;

use super::*;

/// What may happen.
#[derive(Clone, Debug)]
enum Event {
    /// The agent has another update, not the last one.
    Append,
    /// The agent has the last one.
    End,
    /// The agent writes its record, and drops what is stored as acknowledged.
    AgentWrites,
    /// The scheduler acknowledges what it saw last.
    Acknowledge,
    /// It acknowledges something that it saw before, or never.
    AcknowledgeWrongly(u8),
    /// Its stream ends, or it subscribes.
    Disconnect,
    Subscribe,
    /// The leader changes: memory is lost.
    Failover,
    /// What the gateway asked for is written, or is not.
    Write,
    WriteFails,
    /// Time passes, in milliseconds.
    Wait(i64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => Just(Event::Append),
        1 => Just(Event::End),
        2 => Just(Event::AgentWrites),
        8 => Just(Event::Acknowledge),
        2 => any::<u8>().prop_map(Event::AcknowledgeWrongly),
        1 => Just(Event::Disconnect),
        2 => Just(Event::Subscribe),
        1 => Just(Event::Failover),
        4 => Just(Event::Write),
        1 => Just(Event::WriteFails),
        2 => (0..700_000_i64).prop_map(Event::Wait),
    ]
}

#[derive(Default)]
struct World {
    now: i64,
    /// All updates of the task so far, and whether the last of them is terminal.
    made: Vec<v1::TaskState>,
    /// How many of them the agent has written.
    written: usize,
    row: TaskRow,
    delivery: Delivery,
    stream: Option<u64>,
    streams: u64,
    /// What the gateway wants to be written.
    store: Option<String>,
    free: bool,
    /// The numbers of the updates that were sent, and of those the scheduler acknowledged, in order
    /// of the first time; updates are numbered from 1.
    seen: Vec<u8>,
    acknowledged: Vec<u8>,
    last_seen: Option<u8>,
    sends: usize,
}

impl World {
    fn new() -> Self {
        Self { row: row(TaskState::Staging, &[]), ..Self::default() }
    }

    fn ended(&self) -> bool {
        self.made.last().is_some_and(|state| statuses::is_terminal(*state))
    }

    fn number(uuid: &str) -> u8 {
        uuid::Uuid::parse_str(uuid).unwrap().as_bytes()[0]
    }

    fn happens(&mut self, event: &Event) {
        match event {
            Event::Append if !self.ended() && self.made.len() < 60 => {
                self.made.push(v1::TaskState::TaskRunning);
            }
            Event::End if !self.ended() => self.made.push(v1::TaskState::TaskFinished),
            Event::Append | Event::End => {}
            Event::AgentWrites => self.agent_writes(),
            Event::Acknowledge => {
                if let Some(number) = self.last_seen {
                    self.acknowledge(number);
                }
            }
            Event::AcknowledgeWrongly(number) => {
                // Only of what it has seen can a scheduler know the uuid.
                if self.seen.contains(number) {
                    self.acknowledge(*number);
                } else {
                    assert!(!self.delivery.acknowledge(&self.row, "00000000-bad"));
                }
            }
            Event::Disconnect => self.stream = None,
            Event::Subscribe => {
                self.streams += 1;
                self.stream = Some(self.streams);
            }
            Event::Failover => {
                self.delivery = Delivery::default();
                self.stream = None;
                // What was asked for may have been written, or not: here not.
                self.store = None;
                self.free = false;
            }
            Event::Write => {
                if let Some(uuid) = self.store.take() {
                    self.row.acknowledged = Some(uuid);
                }
                if std::mem::take(&mut self.free) {
                    self.row.held_by_scheduler = false;
                }
            }
            Event::WriteFails => {
                self.store = None;
                self.free = false;
                self.delivery.write_failed();
            }
            Event::Wait(millis) => self.now += millis,
        }
        self.gateway_steps();
    }

    /// In one write: what is stored is dropped, and the list is filled up; the state follows the
    /// updates.
    fn agent_writes(&mut self) {
        let stored = self.row.acknowledged.as_deref();
        if let Some(position) = self.row.updates.iter().position(|u| Some(&*u.uuid) == stored) {
            self.row.updates.drain(..=position);
        }
        while self.written < self.made.len()
            && self.row.updates.len() < meseta_crds::task::MAX_MESOS_UPDATES
        {
            let state = self.made[self.written];
            self.written += 1;
            self.row.updates.push(update(u8::try_from(self.written).unwrap(), state));
            self.row.state =
                if statuses::is_terminal(state) { TaskState::Finished } else { TaskState::Running };
        }
    }

    fn acknowledge(&mut self, number: u8) {
        if self.stream.is_none() {
            return; // Calls need a subscription.
        }
        let taken = self.delivery.acknowledge(&self.row, &uuid(number));
        if taken && !self.acknowledged.contains(&number) {
            let expected = u8::try_from(self.acknowledged.len() + 1).unwrap();
            assert_eq!(number, expected, "acknowledged in order");
            self.acknowledged.push(number);
        }
    }

    fn gateway_steps(&mut self) {
        // A step may make another one useful; none may go on for ever.
        for _ in 0..3 {
            let step = self.delivery.step(&self.row, self.stream, self.now);
            if let Some(uuid) = step.store {
                let position = usize::from(Self::number(&uuid));
                assert!(
                    position <= self.acknowledged.len(),
                    "stored: acknowledged by the scheduler"
                );
                self.store = Some(uuid);
            }
            if step.free {
                assert!(self.ended(), "freed: over");
                assert_eq!(self.acknowledged.len(), self.made.len(), "freed: all acknowledged");
                self.free = true;
            }
            match step.send {
                Some(Send::Update(status)) => self.scheduler_sees(&status),
                Some(Send::Own(own)) => panic!("the agent tells everything, not {own:?}"),
                None => break,
            }
        }
    }

    fn scheduler_sees(&mut self, status: &v1::TaskStatus) {
        assert!(self.stream.is_some(), "sent on a stream");
        self.sends += 1;
        let number = status.uuid.as_ref().unwrap()[0];
        let terminal = |number: u8| statuses::is_terminal(self.made[usize::from(number) - 1]);
        if self.last_seen.is_some_and(terminal) {
            assert!(terminal(number), "none after a terminal one: {number}");
        }
        if !self.seen.contains(&number) {
            let before = usize::from(number) - 1;
            assert_eq!(self.seen.len(), before, "in order");
            assert_eq!(self.acknowledged.len(), before, "one in flight");
            self.seen.push(number);
        }
        self.last_seen = Some(number);
    }

    /// From here on all goes well.
    fn settles(&mut self) {
        self.happens(&Event::End);
        self.happens(&Event::Subscribe);
        for _ in 0..400 {
            self.happens(&Event::AgentWrites);
            self.happens(&Event::Write);
            self.happens(&Event::Wait(1));
            self.happens(&Event::Acknowledge);
        }
        assert!(!self.row.held_by_scheduler, "freed in the end");
        assert_eq!(self.seen.len(), self.made.len(), "every update was seen");
        let sends = self.sends;
        self.happens(&Event::Wait(1_000_000));
        self.happens(&Event::Subscribe);
        self.happens(&Event::Failover);
        self.happens(&Event::Subscribe);
        assert_eq!(self.sends, sends, "silence");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_update_is_delivered_at_least_once_in_order_and_none_after_the_last(
        events in prop::collection::vec(event(), 0..250)
    ) {
        let mut world = World::new();
        for event in &events {
            world.happens(event);
        }
        world.settles();
    }
}
