use super::*;

fn objects(path: &str) -> Objects {
    match Path::parse(path) {
        Path::Objects(objects) => objects,
        other => panic!("{path} is read as {other:?}"),
    }
}

#[test]
fn a_namespaced_object_is_found_under_its_namespace() {
    let expected = Objects {
        group: "meseta.dev".to_owned(),
        version: "v1alpha1".to_owned(),
        namespace: "default".to_owned(),
        resource: "tasks".to_owned(),
        name: "a".to_owned(),
        subresource: "status".to_owned(),
        watch: false,
    };
    assert_eq!(objects("/apis/meseta.dev/v1alpha1/namespaces/default/tasks/a/status"), expected);
}

#[test]
fn a_namespace_is_an_object_and_not_a_scope_of_its_subresources() {
    let namespace = objects("/api/v1/namespaces/default");
    assert_eq!((namespace.resource.as_str(), namespace.name.as_str()), ("namespaces", "default"));
    let finalize = objects("/api/v1/namespaces/default/finalize");
    assert_eq!(finalize.resource, "namespaces");
    assert_eq!(finalize.subresource, "finalize");
    assert_eq!(objects("/api/v1/namespaces/default/configmaps").namespace, "default");
}

#[test]
fn an_empty_namespace_means_all_of_them() {
    let all = objects("/apis/meseta.dev/v1alpha1/namespaces//tasks/");
    assert_eq!((all.namespace.as_str(), all.name.as_str()), ("", ""));
    assert_eq!(all.resource, "tasks");
}

#[test]
fn the_old_form_of_a_watch_is_known() {
    let watch = objects("/apis/meseta.dev/v1alpha1/watch/namespaces/default/tasks");
    assert!(watch.watch);
    assert_eq!(watch.namespace, "default");
}

#[test]
fn what_is_not_of_the_api_is_unknown() {
    for path in ["", "/", "//apis", "/apis//v1", "/metrics/x", "/apis/%ff"] {
        assert_eq!(Path::parse(path), Path::Unknown, "{path}");
    }
}

#[test]
fn the_other_paths_are_known() {
    assert_eq!(Path::parse("/readyz/etcd"), Path::Health { check: "etcd".to_owned() });
    assert_eq!(Path::parse("/openapi/v3/"), Path::OpenApiIndex);
    let document = "apis/meseta.dev/v1alpha1".to_owned();
    assert_eq!(Path::parse("/openapi/v3/apis/meseta.dev/v1alpha1"), Path::OpenApi { document });
    assert_eq!(Path::parse("/apis/meseta.dev"), Path::Group { group: "meseta.dev".to_owned() });
    let core = Path::Resources { group: String::new(), version: "v1".to_owned() };
    assert_eq!(Path::parse("/api/v1"), core);
}
