use super::Positions;
use crate::{POSITIONS, Version};

#[test]
fn a_deletion_comes_right_after_the_change_before_it() {
    let mut positions = Positions::default();
    let versions: Vec<_> = [(7, Some(0)), (7, None), (7, None), (7, Some(4)), (8, None), (8, None)]
        .into_iter()
        .map(|(revision, position)| positions.next(revision, position).unwrap())
        .collect();
    let expected = [(7, 0), (7, 1), (7, 2), (7, 4), (8, 0), (8, 1)];
    assert_eq!(versions, expected.map(|(revision, position)| Version::new(revision, position)));
}

#[test]
fn it_never_goes_back() {
    let mut positions = Positions::default();
    positions.next(7, Some(5)).unwrap();
    assert_eq!(positions.next(7, Some(5)), Some(Version::new(7, 6)));
    assert_eq!(positions.next(7, Some(0)), Some(Version::new(7, 7)));
}

#[test]
fn a_commit_with_more_changes_than_positions_is_noticed() {
    let mut positions = Positions::default();
    for position in 0..POSITIONS {
        assert_eq!(positions.next(7, None), Some(Version::new(7, position)));
    }
    assert_eq!(positions.next(7, None), None);
    assert_eq!(positions.next(7, None), None);
    assert_eq!(positions.next(8, None), Some(Version::new(8, 0)));
}
