//! The rules by which a Mesos server reads JSON, one test each, named after the rule.

use meseta_mesos_wire::v1::{
    CapabilityInfo, ContainerId, FrameworkInfo, Label, NetworkInfo, Request, TaskStatus, TimeInfo,
    environment, executor, health_check, offer_filters, scheduler, value,
};
use meseta_mesos_wire::{Message, json};

/// What was read, written again; or the error.
fn read<M: Message>(text: &str) -> String {
    match json::decode::<M>(text.as_bytes()) {
        Ok(message) => String::from_utf8(json::encode(&message)).unwrap(),
        Err(error) => error.to_string(),
    }
}

#[track_caller]
fn check<M: Message>(text: &str, expected: &str) {
    assert_eq!(read::<M>(text), expected, "{text}");
}

#[test]
fn an_unknown_key_is_ignored() {
    for value in ["1", "null", "\"x\"", "[]", "[1,[{}]]", "{\"key\":{\"a\":[-1.5e3]}}"] {
        check::<Label>(&format!(r#"{{"x":{value},"key":"k","y":{value}}}"#), r#"{"key":"k"}"#);
    }
}

#[test]
fn names_are_snake_case_only() {
    check::<scheduler::Call>(r#"{"frameworkId":{"value":"f"}}"#, "{}");
}

#[test]
fn null_leaves_a_field_unset() {
    check::<Label>(r#"{"key":"k","value":null}"#, r#"{"key":"k"}"#);
    check::<Label>(r#"{"key":"k","value":"v","value":null}"#, r#"{"key":"k"}"#);
    check::<Label>(r#"{"key":null}"#, "missing required field `key`");
    check::<Label>(r#"{"key":"k","key":null}"#, "missing required field `key`");
    check::<value::Set>(r#"{"item":null}"#, "{}");
    check::<value::Set>(r#"{"item":["a",null,"b"]}"#, r#"{"item":["a","b"]}"#);
    check::<scheduler::OfferConstraints>(r#"{"role_constraints":null}"#, "{}");
    check::<Request>(r#"{"agent_id":null}"#, "{}");
}

#[test]
fn a_key_that_comes_twice_counts_the_last_time() {
    check::<Label>(r#"{"key":"a","key":"b"}"#, r#"{"key":"b"}"#);
    check::<value::Set>(r#"{"item":["a"],"item":["b"]}"#, r#"{"item":["b"]}"#);
}

#[test]
fn an_integer_may_be_a_string_and_a_fraction_is_cut_off() {
    for (text, value) in [
        ("7", "7"),
        ("\"7\"", "7"),
        ("-7", "-7"),
        ("7.9", "7"),
        ("-7.9", "-7"),
        ("\"7.9\"", "7"),
        ("7e2", "700"),
        ("-0", "0"),
        ("9007199254740993", "9007199254740993"),
        ("9223372036854775807", "9223372036854775807"),
        ("\"-9223372036854775808\"", "-9223372036854775808"),
    ] {
        let expected = format!(r#"{{"nanoseconds":{value}}}"#);
        check::<TimeInfo>(&format!(r#"{{"nanoseconds":{text}}}"#), &expected);
    }
    for text in ["true", "{}", "\"\"", "\"x\"", "\" 7\"", "\"7x\"", "\"0x7\"", "\"inf\""] {
        let expected = "field `nanoseconds` must be a number";
        check::<TimeInfo>(&format!(r#"{{"nanoseconds":{text}}}"#), expected);
    }
}

#[test]
fn an_integer_out_of_range_is_an_error() {
    for text in ["9223372036854775808", "-9223372036854775809", "1e30", "1e400", "\"1e30\""] {
        let expected = "field `nanoseconds` is out of range";
        check::<TimeInfo>(&format!(r#"{{"nanoseconds":{text}}}"#), expected);
    }
    let largest = r#"{"begin":0,"end":18446744073709551615}"#;
    check::<value::Range>(largest, largest);
    check::<value::Range>(r#"{"begin":-1,"end":1}"#, "field `begin` is out of range");
    let port = |text: &str| read::<health_check::TcpCheckInfo>(&format!(r#"{{"port":{text}}}"#));
    assert_eq!(port("4294967295"), r#"{"port":4294967295,"protocol":"IPv4"}"#);
    assert_eq!(port("4294967296"), "field `port` is out of range");
}

#[test]
fn a_float_may_be_a_string_or_infinite() {
    for (text, value) in [
        ("1", "1.0"),
        ("0.1", "0.1"),
        ("\"0.1\"", "0.1"),
        ("-2.5E-1", "-0.25"),
        ("\"Infinity\"", "\"Infinity\""),
        ("\"-Infinity\"", "\"-Infinity\""),
        ("\"NaN\"", "\"NaN\""),
        ("0.30000000000000004", "0.30000000000000004"),
        ("123456789012345680", "1.2345678901234568e17"),
    ] {
        check::<value::Scalar>(
            &format!(r#"{{"value":{text}}}"#),
            &format!(r#"{{"value":{value}}}"#),
        );
    }
    for text in ["true", "{}", "\"\"", "\"x\"", "\"inf\"", "\"infinity\"", "1e400"] {
        check::<value::Scalar>(&format!(r#"{{"value":{text}}}"#), "field `value` must be a number");
    }
}

#[test]
fn a_truth_may_be_a_string() {
    let healthy = |text: &str| {
        read::<TaskStatus>(&format!(
            r#"{{"task_id":{{"value":"t"}},"state":"TASK_LOST","healthy":{text}}}"#
        ))
    };
    let expected = |value: &str| {
        format!(r#"{{"task_id":{{"value":"t"}},"state":"TASK_LOST","healthy":{value}}}"#)
    };
    assert_eq!(healthy("true"), expected("true"));
    assert_eq!(healthy("\"true\""), expected("true"));
    assert_eq!(healthy("false"), expected("false"));
    assert_eq!(healthy("\"false\""), expected("false"));
    for text in ["1", "0", "\"yes\"", "\"TRUE\"", "\"\"", "{}"] {
        assert_eq!(healthy(text), "field `healthy` must be true or false");
    }
}

#[test]
fn an_unknown_name_leaves_an_optional_enum_unset() {
    check::<scheduler::Call>(r#"{"type":"SUBSCRIBE"}"#, r#"{"type":"SUBSCRIBE"}"#);
    check::<scheduler::Call>(r#"{"type":"NEW_CALL"}"#, "{}");
    check::<scheduler::Call>(r#"{"type":"subscribe"}"#, "{}");
    check::<scheduler::Call>(r#"{"type":""}"#, "{}");
    // In a list, it is left out.
    check::<CapabilityInfo>(
        r#"{"capabilities":["CHOWN","NEW","KILL"]}"#,
        r#"{"capabilities":["CHOWN","KILL"]}"#,
    );
    // With a default, that is written.
    check::<environment::Variable>(
        r#"{"name":"n","type":"NEW"}"#,
        r#"{"name":"n","type":"VALUE"}"#,
    );
}

#[test]
fn an_unknown_name_of_a_required_enum_is_an_error() {
    let text = r#"{"type":"UPDATE","update":{"status":{"task_id":{"value":"t"},"state":"NEW"}}}"#;
    check::<scheduler::Event>(text, "missing required field `update.status.state`");
}

#[test]
fn a_number_for_an_enum_is_an_error() {
    let expected = "field `type` must be the name of an enum's value";
    check::<scheduler::Call>(r#"{"type":1}"#, expected);
    check::<scheduler::Call>(r#"{"type":true}"#, expected);
}

#[test]
fn bytes_are_base64_with_optional_padding_and_white_space() {
    let uuid = |text: &str| {
        let text = serde_json::Value::from(text);
        read::<executor::event::Message>(&format!(r#"{{"data":{text}}}"#))
    };
    for text in ["/+8=", "/+8", " /+ 8\n=\t\r\x0b\x0c", "/+8=\n"] {
        assert_eq!(uuid(text), r#"{"data":"/+8="}"#, "{text:?}");
    }
    assert_eq!(uuid(""), r#"{"data":""}"#);
    assert_eq!(uuid("QQ=="), uuid("QQ"));
    // Bits beyond the last byte are not looked at.
    assert_eq!(uuid("QR"), uuid("QQ"));
    for text in ["_-8=", "Q", "Q=Q=", "QQ==QQ==", "QQ*=", "ü", "QQ===="] {
        assert_eq!(uuid(text), "field `data` is not base64", "{text:?}");
    }
    check::<executor::event::Message>(
        r#"{"data":[1]}"#,
        "field `data` is not repeated, so it cannot be an array",
    );
    check::<executor::event::Message>(r#"{"data":1}"#, "field `data` must be a string in base64");
}

#[test]
fn a_repeated_field_is_an_array_or_a_single_bare_value() {
    check::<value::Set>(r#"{"item":["a","b"]}"#, r#"{"item":["a","b"]}"#);
    check::<value::Set>(r#"{"item":"a"}"#, r#"{"item":["a"]}"#);
    check::<value::Set>(r#"{"item":[]}"#, "{}");
    check::<value::Ranges>(
        r#"{"range":{"begin":1,"end":2}}"#,
        r#"{"range":[{"begin":1,"end":2}]}"#,
    );
    check::<value::Set>(r#"{"item":["a",1]}"#, "field `item[1]` must be a string");
}

#[test]
fn an_array_for_a_field_that_is_not_repeated_is_an_error() {
    let expected = "is not repeated, so it cannot be an array";
    check::<Label>(r#"{"key":["k"]}"#, &format!("field `key` {expected}"));
    check::<Request>(r#"{"agent_id":[{"value":"a"}]}"#, &format!("field `agent_id` {expected}"));
    check::<value::Set>(r#"{"item":[["a"]]}"#, &format!("field `item[0]` {expected}"));
}

#[test]
fn a_string_is_nothing_but_a_string() {
    for text in ["1", "true", "{}"] {
        check::<Label>(&format!(r#"{{"key":{text}}}"#), "field `key` must be a string");
    }
}

#[test]
fn a_message_is_nothing_but_an_object() {
    for text in ["1", "true", "\"a\""] {
        check::<Request>(
            &format!(r#"{{"agent_id":{text}}}"#),
            "field `agent_id` must be an object",
        );
        check::<Request>(text, "the message must be an object");
    }
    check::<Request>("[]", "the message must be an object");
    check::<Request>("null", "the message must be an object");
}

#[test]
fn a_map_is_an_object() {
    let text = r#"{"quantities":{"cpus":{"value":0.5},"mem":{"value":32.0}}}"#;
    check::<offer_filters::ResourceQuantities>(text, text);
    let text = r#"{"quantities":{"a":{"value":1},"a":{"value":2},"b":null}}"#;
    check::<offer_filters::ResourceQuantities>(text, r#"{"quantities":{"a":{"value":2.0}}}"#);
    check::<offer_filters::ResourceQuantities>(
        r#"{"quantities":{"a \"b\"":{}}}"#,
        r#"missing required field `quantities["a \"b\""].value`"#,
    );
    check::<offer_filters::ResourceQuantities>(
        r#"{"quantities":1}"#,
        "field `quantities` must be an object",
    );
}

#[test]
fn of_a_oneof_the_last_counts() {
    check::<scheduler::attribute_constraint::Selector>(
        r#"{"attribute_name":"a","pseudoattribute_type":"ZONE"}"#,
        r#"{"pseudoattribute_type":"ZONE"}"#,
    );
    check::<scheduler::attribute_constraint::Selector>(
        r#"{"attribute_name":"a","pseudoattribute_type":null}"#,
        r#"{"attribute_name":"a"}"#,
    );
    check::<scheduler::attribute_constraint::Predicate>(
        r#"{"not_exists":{}}"#,
        r#"{"not_exists":{}}"#,
    );
}

#[test]
fn a_missing_required_field_is_named_at_any_depth() {
    check::<Label>("{}", "missing required field `key`");
    check::<FrameworkInfo>(r#"{"name":"n"}"#, "missing required field `user`");
    check::<FrameworkInfo>(r#"{"user":"u"}"#, "missing required field `name`");
    let deep = r#"{"accept":{"operations":[{},{"launch":{"task_infos":[
        {"name":"n","task_id":{"value":"t"},"agent_id":{"value":"a"},"resources":[
            {"name":"cpus","type":"SCALAR","scalar":{}}]}]}}]}}"#;
    check::<scheduler::Call>(
        deep,
        "missing required field \
         `accept.operations[1].launch.task_infos[0].resources[0].scalar.value`",
    );
}

#[test]
fn bytes_after_the_end_are_an_error() {
    check::<Label>(" {\"key\":\"k\"} \r\n\t", r#"{"key":"k"}"#);
    for more in ["x", "{}", ",", "\0"] {
        let expected = "not JSON: bytes after the value at byte 11";
        check::<Label>(&format!(r#"{{"key":"k"}}{more}"#), expected);
    }
}

#[test]
fn nesting_deeper_than_200_is_an_error() {
    let nested = |depth: usize, open: &str, close: &str| {
        // The object around it is one level.
        let inner = depth - 1;
        read::<Request>(&format!(r#"{{"x":{}1{}}}"#, open.repeat(inner), close.repeat(inner)))
    };
    assert_eq!(nested(200, "[", "]"), "{}");
    assert_eq!(nested(201, "[", "]"), "nested deeper than 200 levels");
    assert_eq!(nested(200, "{\"a\":", "}"), "{}");
    assert_eq!(nested(201, "{\"a\":", "}"), "nested deeper than 200 levels");
    assert_eq!(nested(1_000_000, "[", ""), "nested deeper than 200 levels");
    let parents = |depth: usize| {
        let (open, close) = (r#"{"value":"c","parent":"#, "}");
        let text = open.repeat(depth - 1) + r#"{"value":"c"}"# + &close.repeat(depth - 1);
        json::decode::<ContainerId>(text.as_bytes()).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(parents(200), Ok(()));
    assert_eq!(parents(201), Err("nested deeper than 200 levels".to_owned()));
}

#[test]
fn few_bytes_that_need_much_memory_are_an_error() {
    let text = format!(r#"{{"ip_addresses":[{}{{}}]}}"#, "{},".repeat(3_000_000));
    check::<NetworkInfo>(&text, "needs more than 67108864 bytes in memory");
    // What lies in a box counts as well.
    let disks = |disk: &str| {
        let resource = format!(r#"{{"name":"","type":"SET"{disk}}}"#);
        json::decode::<Request>(
            format!(r#"{{"resources":[{}]}}"#, vec![resource; 100_000].join(",")).as_bytes(),
        )
        .is_ok()
    };
    assert!(disks(""));
    assert!(!disks(r#","disk":{}"#));
}

#[test]
fn a_string_has_the_escapes_of_json() {
    check::<Label>(
        r#"{"\u006bey":"\"\\\/\b\f\n\r\t\u00fc\uD83D\ude00ü😀"}"#,
        r#"{"key":"\"\\/\b\f\n\r\t\u00fc\ud83d\ude00\u00fc\ud83d\ude00"}"#,
    );
    for (bad, what) in [
        (r"\x", "an unknown escape"),
        (r"\u12", "an escape without its four digits"),
        (r"\u+123", "an escape without its four digits"),
        (r"\ud800", "an escape without its four digits"),
        (r"\ud800\u0041", "half of a surrogate pair"),
        (r"\udc00", "half of a surrogate pair"),
        ("\n", "a control character in a string"),
    ] {
        let read = read::<Label>(&format!(r#"{{"key":"{bad}"}}"#));
        assert!(read.starts_with(&format!("not JSON: {what} at byte ")), "{bad:?}: {read}");
    }
}

#[test]
fn what_is_not_json_is_an_error() {
    for bad in [
        "",
        " ",
        "{",
        "}",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\":1,}",
        "{,}",
        "{\"a\" 1}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":[1,]}",
        "{\"a\":[1 2]}",
        "{\"a\":[",
        "{\"a\":01}",
        "{\"a\":+1}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":1e}",
        "{\"a\":-}",
        "{\"a\":nul}",
        "{\"a\":True}",
        "{\"a\":NaN}",
        "{\"a\":\"",
        "{\"a\":\"\\",
        "{\"a\":1}}",
        "{\"a\":1 \"b\":2}",
        "\u{feff}{}",
        "{\"a\":tru",
        "{\"a\":\"x\u{1}\"}",
    ] {
        let read = read::<Request>(bad);
        assert!(read.starts_with("not JSON: "), "{bad:?}: {read}");
    }
    let error = json::decode::<Request>(b"{\"\xff\":1}").unwrap_err();
    assert_eq!(error.to_string(), "not JSON: bytes that are not UTF-8 at byte 2");
}
