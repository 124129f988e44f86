//! The YAML that people install is what the types say.

use std::path::Path;

use meseta_crds::definitions;

#[test]
fn the_yaml_is_generated_from_the_types() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("yaml");
    for definition in definitions::all() {
        let path = folder.join(format!("{}.yaml", definition.spec.names.plural));
        let text = std::fs::read_to_string(&path).unwrap();
        let body = text.split_once('\n').unwrap().1;
        assert_eq!(
            body,
            serde_yaml::to_string(&definition).unwrap(),
            "{} is out of date: run `cargo xtask generate`",
            path.display()
        );
    }
}

#[test]
fn what_cel_can_say_stands_in_the_definitions() {
    let text = serde_json::to_string(&definitions::all()).unwrap();
    for message in [
        "`agentName` must not change once it is set",
        "`state` must not change once it is terminal",
        "`command` must be set where there is no `image`",
        "must have exactly one source: `shared` or `hostPath`",
        "must not change; create another role instead",
    ] {
        assert!(text.contains(message), "{message}");
    }
}
