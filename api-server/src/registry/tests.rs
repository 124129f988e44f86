use super::Registry;

#[test]
fn kinds_are_found_by_their_path() {
    let registry = Registry::new();
    let task = registry.find("meseta.dev", "v1alpha1", "tasks").unwrap();
    assert_eq!(task.kind, "Task");
    assert_eq!(task.list_kind, "TaskList");
    assert_eq!(task.api_version(), "meseta.dev/v1alpha1");
    assert_eq!(task.resource(), "tasks.meseta.dev");
    assert_eq!(task.key_prefix(), "/registry/meseta.dev/tasks/");
    assert!(task.custom && task.namespaced && task.status_subresource && task.schema.is_some());
    assert_eq!(task.selectable_fields[0].as_str(), "spec.agentName");

    let namespace = registry.find("", "v1", "namespaces").unwrap();
    assert_eq!(namespace.api_version(), "v1");
    assert_eq!(namespace.resource(), "namespaces");
    assert_eq!(namespace.key_prefix(), "/registry/core/namespaces/");
    assert!(!namespace.namespaced && !namespace.verbs.contains(&"deletecollection"));

    assert!(registry.find("meseta.dev", "v1", "tasks").is_none());
    assert!(registry.find("", "v1", "tasks").is_none());
}

#[test]
fn no_two_kinds_share_keys_or_a_path() {
    let registry = Registry::new();
    let mut prefixes: Vec<String> = registry.kinds().iter().map(|kind| kind.key_prefix()).collect();
    let all = prefixes.len();
    prefixes.sort();
    prefixes.dedup();
    assert_eq!(prefixes.len(), all);
}

#[test]
fn kinds_of_a_group_stand_together() {
    let registry = Registry::new();
    let mut groups: Vec<&str> = registry.kinds().iter().map(|kind| kind.group.as_str()).collect();
    groups.dedup();
    let mut once = groups.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(groups.len(), once.len());
}
