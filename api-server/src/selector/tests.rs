use serde_json::{Value, json};

use super::{FieldPath, FieldSelector, LabelSelector};
use crate::registry::Registry;

/// The labelled objects of `golden/kubernetes/list.jsonl`.
fn golden_labels() -> Vec<(String, Value)> {
    (0..5)
        .map(|i| {
            let parity = if i % 2 == 0 { "even" } else { "odd" };
            (format!("l{i}"), json!({ "i": i.to_string(), "par": parity }))
        })
        .collect()
}

#[track_caller]
fn selects(selector: &str, expected: &str) {
    let selector = LabelSelector::parse(selector).unwrap();
    let names: Vec<String> = golden_labels()
        .into_iter()
        .filter(|(_, labels)| selector.matches(Some(labels)))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names.join(" "), expected);
}

#[test]
fn label_selectors_select_what_a_real_server_selects() {
    selects("par=even", "l0 l2 l4");
    selects("par==even", "l0 l2 l4");
    selects("i in (1,2),par", "l1 l2");
    selects("i notin (1,2)", "l0 l3 l4");
    selects("par!=even", "l1 l3");
    selects("absent!=x", "l0 l1 l2 l3 l4");
    selects("!par", "");
    selects("par", "l0 l1 l2 l3 l4");
    selects("i>2", "l3 l4");
    selects("i<1", "l0");
    selects("", "l0 l1 l2 l3 l4");
    selects("par=even,i=2", "l2");
    selects("i in ()", "");
    selects("par=", "");
    selects("i in (1,)", "l1");
    selects(" i  in ( 1 , 2 ) ", "l1 l2");
}

#[test]
fn bad_label_selectors_are_refused_in_the_words_of_a_real_server() {
    for (selector, error) in [
        ("==bad", "found '==', expected: !, identifier, or 'end of string'"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        (
            "i>x",
            "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' \
             operators, the value must be an integer",
        ),
        ("x in 1", "unable to parse requirement: found '1' expected: '('"),
        (
            "bad!key=a",
            "unable to parse requirement: found '!', expected: in, notin, =, ==, !=, gt, lt",
        ),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("a,", "found '', expected: identifier after ','"),
    ] {
        assert_eq!(LabelSelector::parse(selector).unwrap_err(), error, "{selector}");
    }
    for selector in ["a in (b", "a in (b c)", "!", "a=(", "a/b/c", "a=_", "é=1"] {
        assert!(LabelSelector::parse(selector).is_err(), "{selector}");
    }
}

#[test]
fn an_object_without_labels_matches_only_what_absence_meets() {
    assert!(LabelSelector::parse("!a,b!=c,d notin (e)").unwrap().matches(None));
    assert!(!LabelSelector::parse("a").unwrap().matches(None));
}

fn field_selector(text: &str) -> Result<FieldSelector, String> {
    let registry = Registry::new();
    FieldSelector::parse(text, registry.find("meseta.dev", "v1alpha1", "tasks").unwrap())
}

#[test]
fn field_selectors_compare_declared_fields() {
    let object = json!({ "metadata": { "name": "a" }, "spec": { "agentName": "n1" } });
    for (text, matches) in [
        ("metadata.name=a", true),
        ("metadata.name==a", true),
        ("metadata.name!=a", false),
        ("metadata.name=a,spec.agentName=n1", true),
        ("metadata.name=a,metadata.name=b", false),
        ("status.state=", true),
        ("metadata.namespace=", true),
        ("spec.agentName=a\\,b", false),
        ("", true),
    ] {
        assert_eq!(field_selector(text).unwrap().matches(&object), matches, "{text}");
    }
}

#[test]
fn only_a_required_value_can_be_looked_up() {
    let selector = field_selector("spec.agentName=n1,status.state!=Running").unwrap();
    assert_eq!(selector.exact("spec.agentName"), Some("n1"));
    assert_eq!(selector.exact("status.state"), None);
    assert!(field_selector("").unwrap().is_empty());
}

#[test]
fn fields_that_are_not_declared_are_refused() {
    for (text, error) in [
        ("spec.role=x", "field label not supported: spec.role"),
        ("metadata.uid=x", "field label not supported: metadata.uid"),
        ("bad", "invalid selector: 'bad'; can't understand 'bad'"),
        ("a in (b)", "invalid selector: 'a in (b)'; can't understand 'a in (b)'"),
    ] {
        assert_eq!(field_selector(text).unwrap_err(), error);
    }
    let registry = Registry::new();
    let config_map = registry.find("", "v1", "configmaps").unwrap();
    assert_eq!(
        FieldSelector::parse("data.a=1", config_map).unwrap_err(),
        "\"data.a\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
    );
}

#[test]
fn numbers_and_truths_are_selected_by_their_text() {
    let object = json!({ "spec": { "n": 1, "b": true, "l": [1] } });
    assert_eq!(FieldPath::new(".spec.n").get(&object), "1");
    assert_eq!(FieldPath::new("spec.b").get(&object), "true");
    assert_eq!(FieldPath::new("spec.l").get(&object), "");
    assert_eq!(FieldPath::new("spec.none.deep").get(&object), "");
}

#[test]
fn the_source_of_an_event_is_either_of_two_fields() {
    let registry = Registry::new();
    let event = registry.find("", "v1", "events").unwrap();
    let selector = FieldSelector::parse("source=agent,type=Normal", event).unwrap();
    assert!(selector.matches(&json!({ "source": { "component": "agent" }, "type": "Normal" })));
    assert!(selector.matches(&json!({ "reportingComponent": "agent", "type": "Normal" })));
}
