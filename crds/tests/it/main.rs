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
        "must have exactly one container, or none where `executorName` is set",
        "`executor` must not be set together with `executorName`",
        "`kill` must not be taken back",
        "must have at least one set, or a `scheduler` and no sets",
        "`scheduler` must not come, go or change its `frameworkId`",
    ] {
        assert!(text.contains(message), "{message}");
    }
}

#[test]
fn an_offer_is_no_stored_kind() {
    for definition in definitions::all() {
        assert_eq!(definition.spec.group, meseta_crds::GROUP);
    }
    let offer = <meseta_crds::Offer as kube::CustomResourceExt>::crd();
    assert_eq!(offer.spec.group, meseta_crds::LIVE_GROUP);
    assert_eq!(offer.spec.versions[0].name, meseta_crds::VERSION);
}
