use super::Quantity;

fn millis(text: &str) -> Option<i64> {
    Quantity::new(text).millis().ok()
}

#[test]
fn suffixes_scale_as_kubernetes_does() {
    for (text, expected) in [
        ("0", 0),
        ("1", 1000),
        ("500m", 500),
        ("1.5", 1500),
        ("0.0001", 1),
        ("1e3", 1_000_000),
        ("2k", 2_000_000),
        ("1Ki", 1_024_000),
        ("1.5Gi", 1_610_612_736_000),
        ("100n", 1),
        (".5", 500),
    ] {
        assert_eq!(millis(text), Some(expected), "{text}");
    }
}

#[test]
fn what_is_not_an_amount_is_refused() {
    for text in ["", "-1", "1.2.3", "1 Mi", "Mi", "1mi", "1e", "ten", "1e1.5", "--1"] {
        assert_eq!(millis(text), None, "{text}");
    }
}

#[test]
fn what_is_too_large_saturates() {
    assert_eq!(millis("999999999E"), Some(i64::MAX));
    assert_eq!(millis("1e40"), Some(i64::MAX));
}

#[test]
fn numbers_and_texts_both_read() {
    let read: Vec<Quantity> = serde_json::from_str(r#"[1, 0.5, "64Mi"]"#).unwrap();
    assert_eq!(
        read.iter().map(|q| q.millis().unwrap()).collect::<Vec<_>>(),
        [1000, 500, 67_108_864_000]
    );
}

#[test]
fn amounts_print_short_and_exact() {
    assert_eq!(Quantity::from_millis(1500).as_str(), "1500m");
    assert_eq!(Quantity::from_millis(2000).as_str(), "2");
    assert_eq!(Quantity::from_bytes(64 << 20).as_str(), "64Mi");
    assert_eq!(Quantity::from_bytes(1000).as_str(), "1000");
}
