use std::time::{Duration, Instant};

use super::Leases;
use crate::LeaseId;

const A: LeaseId = LeaseId(1);
const B: LeaseId = LeaseId(2);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn leases_end_in_the_order_of_their_ends() {
    let start = Instant::now();
    let mut leases = Leases::begin([(A, seconds(20)), (B, seconds(10))], start);
    assert_eq!(leases.next_end(), Some(start + seconds(10)));
    assert_eq!(leases.pop_due(start + seconds(9)), None);
    assert_eq!(leases.pop_due(start + seconds(30)), Some(B));
    assert_eq!(leases.pop_due(start + seconds(30)), Some(A));
    assert_eq!(leases.pop_due(start + seconds(30)), None);
    assert_eq!(leases.next_end(), None);
}

#[test]
fn a_renewed_lease_has_its_full_time_again() {
    let start = Instant::now();
    let mut leases = Leases::begin([(A, seconds(10))], start);
    assert!(leases.renew(A, start + seconds(9)));
    assert_eq!(leases.pop_due(start + seconds(18)), None);
    assert_eq!(leases.pop_due(start + seconds(19)), Some(A));
    assert!(!leases.renew(A, start + seconds(19)), "it has ended");
}

#[test]
fn a_lease_that_was_taken_out_does_not_come_due() {
    let start = Instant::now();
    let mut leases = Leases::begin([(A, seconds(10))], start);
    assert!(leases.contains(A));
    assert!(leases.remove(A));
    assert!(!leases.remove(A));
    assert!(!leases.contains(A));
    assert_eq!(leases.pop_due(start + seconds(99)), None);
}
