use bytes::Bytes;

use super::{Range, Undone, end_of_prefix, next_name, undo};
use crate::{Page, Record, Version};

fn record(key: &str, version: u64) -> Record {
    Record { key: key.to_owned(), value: Bytes::from_static(b"v"), version: Version(version) }
}

/// The page of `limit` after `after`, of what a range gave, with some of it undone.
fn page(
    (keys, more): (&[&str], bool),
    undone: &[(&str, bool)],
    after: Option<&str>,
    limit: usize,
) -> (Vec<String>, bool) {
    let records = keys.iter().map(|key| record(key, 9)).collect();
    let undone: Undone = undone
        .iter()
        .map(|(key, was_there)| ((*key).to_owned(), was_there.then(|| record(key, 1))))
        .collect();
    let range = Range { records, more, revision: 9 };
    let Page { records, more, .. } = undo(range, undone, after, limit, Version(8));
    let text =
        |r: Record| if r.version == Version(1) { format!("{} before", r.key) } else { r.key };
    (records.into_iter().map(text).collect(), more)
}

#[test]
fn what_came_later_in_the_commit_is_undone() {
    let range: (&[&str], bool) = (&["/a", "/b", "/d"], false);
    let undone = [("/b", true), ("/c", true), ("/d", false)];
    let expected = ["/a", "/b before", "/c before"].map(String::from).to_vec();
    assert_eq!(page(range, &undone, None, 9), (expected, false));
}

#[test]
fn only_the_page_is_touched() {
    // The range reaches to /c; what is behind it comes with a later page.
    let range: (&[&str], bool) = (&["/b", "/c"], true);
    let undone = [("/a", true), ("/z", true)];
    assert_eq!(page(range, &undone, Some("/a"), 1), (vec!["/b".to_owned()], true));
}

#[test]
fn more_is_what_is_left_after_undoing() {
    let range: (&[&str], bool) = (&["/a", "/b"], false);
    assert_eq!(page(range, &[("/b", false)], None, 1), (vec!["/a".to_owned()], false));
    assert!(page(range, &[("/c", true)], None, 2).1);
}

#[test]
fn names_are_bounded() {
    assert_eq!(end_of_prefix("/a/".to_owned()), b"/a0");
    assert_eq!(next_name("/a"), b"/a\0");
    let highest = "/\u{10ffff}";
    assert!(end_of_prefix(highest.to_owned()) > format!("{highest}x").into_bytes());
}
