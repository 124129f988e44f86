use super::*;

struct Clock {
    start: Instant,
    samples: VecDeque<Sample>,
}

impl Clock {
    fn new() -> Self {
        Self { start: Instant::now(), samples: VecDeque::new() }
    }

    fn due(&mut self, seconds: u64, version: u64, bytes: u64) -> Option<u64> {
        let at = self.start + Duration::from_secs(seconds);
        due(&mut self.samples, Sample { at, version: Version(version), bytes }).map(|v| v.0)
    }
}

#[test]
fn history_is_forgotten_after_five_minutes() {
    let mut clock = Clock::new();
    assert_eq!(clock.due(0, 1, 0), None);
    assert_eq!(clock.due(5, 2, 0), None);
    assert_eq!(clock.due(299, 3, 0), None);
    assert_eq!(clock.due(300, 4, 0), Some(1));
    assert_eq!(clock.due(305, 5, 0), Some(2));
}

#[test]
fn history_is_forgotten_earlier_where_much_was_written() {
    let mut clock = Clock::new();
    assert_eq!(clock.due(0, 1, 0), None);
    assert_eq!(clock.due(5, 2, KEPT_BYTES / 2), None);
    assert_eq!(clock.due(10, 3, KEPT_BYTES + 1), Some(1));
}

#[test]
fn an_idle_store_keeps_its_newest_version() {
    let mut clock = Clock::new();
    assert_eq!(clock.due(0, 1, 0), None);
    assert_eq!(clock.due(300, 1, 0), Some(1));
    assert_eq!(clock.due(305, 1, 0), None);
    assert_eq!(clock.due(310, 2, 0), None);
}
