use super::*;

#[test]
fn an_id_is_from_1_to_255_bytes_without_slashes_and_control_characters() {
    for id in ["a", "a b", "A.b", "...", "ünïcode", &"x".repeat(255)] {
        assert_eq!(check(id), Ok(()), "{id}");
    }
    for id in ["", ".", "..", "a/b", "a\\b", "a\nb", "a\u{7f}", "\u{0}", &"x".repeat(256)] {
        assert!(check(id).is_err(), "{id:?}");
    }
    assert!(check(&"é".repeat(128)).is_err(), "counted in bytes");
}

#[test]
fn a_framework_without_id_is_numbered_in_its_term() {
    assert_eq!(framework_id("t", 0), "t-0000");
    assert_eq!(framework_id("t", 12345), "t-12345");
}

#[test]
fn names_are_dns_labels_whatever_the_id() {
    for id in ["a", "A.b c", "...", "--", "ünïcode", &"x".repeat(255), "a-", "日本"] {
        for name in [
            task_record("uid", id, 0),
            executor_record("uid", "agent", id, 0),
            framework_record(id, id),
        ] {
            assert!(name.len() <= 63, "{name}");
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'));
            assert!(!name.starts_with('-') && !name.ends_with('-'), "{name}");
        }
    }
}

#[test]
fn a_name_begins_with_what_is_readable_of_the_id() {
    assert!(task_record("uid", "My Task.1", 0).starts_with("my-task-1-"));
    assert!(framework_record("Spark PI", "id").starts_with("spark-pi-"));
}

#[test]
fn a_name_tells_apart_whatever_makes_a_record_unique() {
    let names = [
        task_record("uid", "a", 0),
        task_record("uid", "a", 1),
        task_record("uid", "A", 0),
        task_record("other", "a", 0),
        executor_record("uid", "agent", "a", 0),
        executor_record("uid", "agent", "a", 1),
        executor_record("uid", "other", "a", 0),
        executor_record("uida", "gent", "a", 0),
    ];
    let distinct: std::collections::BTreeSet<&String> = names.iter().collect();
    assert_eq!(distinct.len(), names.len(), "{names:?}");
    assert_eq!(task_record("uid", "a", 0), task_record("uid", "a", 0));
}
