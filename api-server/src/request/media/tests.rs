use http::HeaderValue;

use super::*;

fn accept(value: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(value))])
}

fn form(value: &'static str) -> Option<Form> {
    wanted(&accept(value), IncludeObject::Metadata).ok().map(|wanted| wanted.form)
}

#[test]
fn the_first_that_can_be_produced_wins() {
    let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    assert_eq!(form(kubectl), Some(Form::Table(IncludeObject::Metadata)));
    assert_eq!(
        form("application/json;as=Nope;v=v1;g=meta.k8s.io,application/json"),
        Some(Form::Object)
    );
    assert_eq!(form("application/vnd.kubernetes.protobuf,application/json"), Some(Form::Object));
    assert_eq!(form("application/json;q=0.5, */*"), Some(Form::Object));
}

#[test]
fn parameters_come_in_any_order() {
    let kube_rs = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    assert_eq!(form(kube_rs), Some(Form::Metadata { beta: false }));
}

#[test]
fn what_cannot_be_produced_is_refused() {
    for value in [
        "text/html",
        "application/vnd.kubernetes.protobuf",
        "application/json;as=Nope;v=v1;g=meta.k8s.io",
    ] {
        assert_eq!(form(value), None, "{value}");
    }
    assert_eq!(plain_encoding(&accept("text/html")), Encoding::Json);
}

#[test]
fn no_accept_means_json() {
    let wanted = wanted(&HeaderMap::new(), IncludeObject::Metadata);
    assert_eq!(wanted.ok(), Some(Wanted { encoding: Encoding::Json, form: Form::Object }));
}

#[test]
fn aggregated_discovery_is_told_from_the_old_form() {
    let kubectl = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                   application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
    assert_eq!(wants_aggregated_discovery(&accept(kubectl)).ok(), Some(true));
    assert_eq!(wants_aggregated_discovery(&accept("application/json")).ok(), Some(false));
    let beta = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
    assert_eq!(wants_aggregated_discovery(&accept(beta)).err().map(|f| f.code()), Some(406));
}

#[test]
fn a_strategic_patch_of_a_custom_kind_is_refused() {
    let strategic =
        HeaderValue::from_static("application/strategic-merge-patch+json; charset=utf-8");
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, strategic)]);
    assert_eq!(patch_type(&headers, true).err().map(|f| f.code()), Some(415));
    assert_eq!(patch_type(&headers, false).ok(), Some(PatchType::Strategic));
}
