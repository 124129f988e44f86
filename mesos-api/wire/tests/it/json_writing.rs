//! The rules by which a Mesos server writes JSON, one test each, named after the rule.

use std::collections::BTreeMap;

use meseta_mesos_wire::v1::{AgentInfo, FrameworkId, Labels};
use meseta_mesos_wire::v1::{
    CapabilityInfo, CheckInfo, CommandInfo, Credential, Environment, Filters, FrameworkInfo,
    HealthCheck, Image, KillPolicy, Label, LinuxInfo, MasterInfo, Resource, TimeInfo, command_info,
    container_info, environment, health_check, network_info, offer_filters, resource, scheduler,
    value,
};
use meseta_mesos_wire::{Message, json};

#[track_caller]
fn check<M: Message>(message: &M, expected: &str) {
    assert_eq!(String::from_utf8(json::encode(message)).unwrap(), expected);
}

#[test]
fn names_are_snake_case_and_the_text_is_compact() {
    let call = scheduler::Call {
        framework_id: Some(FrameworkId { value: "f".to_owned() }),
        r#type: Some(scheduler::call::Type::Revive.into()),
        ..Default::default()
    };
    check(&call, r#"{"framework_id":{"value":"f"},"type":"REVIVE"}"#);
}

#[test]
fn a_64_bit_integer_is_a_bare_number() {
    check(&TimeInfo { nanoseconds: i64::MIN }, r#"{"nanoseconds":-9223372036854775808}"#);
    check(&value::Range { begin: 0, end: u64::MAX }, r#"{"begin":0,"end":18446744073709551615}"#);
}

/// The npm client compares the length of the text with the bytes of the record.
#[test]
fn text_beyond_ascii_is_escaped() {
    let label = Label { key: "grün 😀 \u{7f}".to_owned(), value: None };
    check(&label, "{\"key\":\"gr\\u00fcn \\ud83d\\ude00 \u{7f}\"}");
}

#[test]
fn a_float_is_the_shortest_text_with_a_decimal_part() {
    for (value, text) in [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (1.0, "1.0"),
        (0.1, "0.1"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1.0 / 3.0, "0.3333333333333333"),
        (1_700_000_000.123_456, "1700000000.123456"),
        (123_456_789_012_345.0, "123456789012345.0"),
        (1e16, "1.0e16"),
        (-1e300, "-1.0e300"),
        (1.5e300, "1.5e300"),
        (1e-7, "1.0e-7"),
        (5e-324, "5.0e-324"),
        (f64::MAX, "1.7976931348623157e308"),
        (f64::INFINITY, "\"Infinity\""),
        (f64::NEG_INFINITY, "\"-Infinity\""),
        (f64::NAN, "\"NaN\""),
    ] {
        check(&value::Scalar { value }, &format!(r#"{{"value":{text}}}"#));
    }
}

#[test]
fn bytes_are_base64_with_padding() {
    for (data, text) in [(&b""[..], ""), (b"\xff", "/w=="), (b"ab", "YWI="), (b"abc", "YWJj")] {
        let message = scheduler::call::Message { data: data.to_vec(), ..Default::default() };
        let expected = format!(
            r#"{{"agent_id":{{"value":""}},"executor_id":{{"value":""}},"data":"{text}"}}"#
        );
        check(&message, &expected);
    }
}

#[test]
fn an_enum_is_its_name() {
    check(
        &scheduler::Call { r#type: Some(15), ..Default::default() },
        r#"{"type":"ACKNOWLEDGE_OPERATION_STATUS"}"#,
    );
}

#[test]
fn an_enum_nobody_knows_is_omitted() {
    check(&scheduler::Call { r#type: Some(99), ..Default::default() }, "{}");
    check(&CapabilityInfo { capabilities: vec![1, 2] }, "{}");
    check(&CapabilityInfo { capabilities: vec![1, 1000] }, r#"{"capabilities":["CHOWN"]}"#);
}

#[test]
fn an_unset_optional_field_is_omitted() {
    check(&Label { key: "k".to_owned(), value: None }, r#"{"key":"k"}"#);
    check(&Credential { principal: String::new(), secret: None }, r#"{"principal":""}"#);
    check(&KillPolicy::default(), "{}");
}

#[test]
fn a_field_with_a_default_is_always_written() {
    check(
        &FrameworkInfo::default(),
        r#"{"user":"","name":"","failover_timeout":0.0,"checkpoint":false}"#,
    );
    let seconds = r#""delay_seconds":15.0,"interval_seconds":10.0,"timeout_seconds":20.0"#;
    check(&CheckInfo::default(), &format!("{{{seconds}}}"));
    let health = format!(r#"{{{seconds},"consecutive_failures":3,"grace_period_seconds":10.0}}"#);
    check(&HealthCheck::default(), &health);
    check(&health_check::HttpCheckInfo::default(), r#"{"port":0,"protocol":"IPv4"}"#);
    check(&health_check::TcpCheckInfo::default(), r#"{"port":0,"protocol":"IPv4"}"#);
    check(&CommandInfo::default(), r#"{"shell":true}"#);
    check(&command_info::Uri::default(), r#"{"value":"","extract":true}"#);
    check(&MasterInfo::default(), r#"{"id":"","ip":0,"port":5050}"#);
    check(&AgentInfo::default(), r#"{"hostname":"","port":5051}"#);
    check(&Filters::default(), r#"{"refuse_seconds":5.0}"#);
    check(&environment::Variable::default(), r#"{"name":"","type":"VALUE"}"#);
    check(&Image { r#type: 2, ..Default::default() }, r#"{"type":"DOCKER","cached":true}"#);
    check(&network_info::IpAddress::default(), r#"{"protocol":"IPv4"}"#);
    check(&LinuxInfo::default(), r#"{"share_cgroups":true}"#);
    check(
        &container_info::DockerInfo::default(),
        r#"{"image":"","network":"HOST","privileged":false}"#,
    );
    check(&Filters { refuse_seconds: Some(0.0) }, r#"{"refuse_seconds":0.0}"#);
}

#[test]
fn a_deprecated_field_with_a_default_is_written_only_when_set() {
    check(&Resource::default(), r#"{"name":"","type":"SCALAR"}"#);
    let set = Resource { role: Some("*".to_owned()), ..Default::default() };
    check(&set, r#"{"name":"","type":"SCALAR","role":"*"}"#);
    let set = FrameworkInfo { role: Some("eng".to_owned()), ..Default::default() };
    check(&set, r#"{"user":"","name":"","failover_timeout":0.0,"checkpoint":false,"role":"eng"}"#);
}

#[test]
fn an_empty_repeated_field_is_omitted() {
    check(&Labels::default(), "{}");
    check(&Environment::default(), "{}");
    check(&offer_filters::ResourceQuantities::default(), "{}");
}

#[test]
fn a_message_without_fields_is_an_empty_object() {
    let resource = Resource {
        shared: Some(resource::SharedInfo {}),
        revocable: Some(resource::RevocableInfo {}),
        ..Default::default()
    };
    check(&resource, r#"{"name":"","type":"SCALAR","revocable":{},"shared":{}}"#);
}

#[test]
fn a_map_is_an_object_in_the_order_of_its_keys() {
    let scalar = |value| value::Scalar { value };
    let quantities =
        BTreeMap::from([("mem".to_owned(), scalar(1.0)), ("a\"".to_owned(), scalar(2.0))]);
    check(
        &offer_filters::ResourceQuantities { quantities },
        r#"{"quantities":{"a\"":{"value":2.0},"mem":{"value":1.0}}}"#,
    );
}

#[test]
fn a_string_is_escaped_where_json_demands_it() {
    let item = (0_u8..=127).map(char::from).collect::<String>() + "ü€😀";
    let set = value::Set { item: vec![item.clone()] };
    let text = json::encode(&set);
    let by_serde: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(by_serde["item"][0], item.as_str());
    check(
        &value::Set { item: vec!["\u{0}\u{1f}\u{7f}\"\\/\n".to_owned()] },
        "{\"item\":[\"\\u0000\\u001f\u{7f}\\\"\\\\/\\n\"]}",
    );
}
