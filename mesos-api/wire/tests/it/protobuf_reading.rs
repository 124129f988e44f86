//! What is made of protobuf bytes, above all where prost alone would be silent.

use meseta_mesos_wire::v1::{
    CapabilityInfo, ContainerId, Label, NetworkInfo, Request, Resource, TaskInfo, Value,
    environment, offer_filters, scheduler, value,
};
use meseta_mesos_wire::{DecodeError, Message, json, protobuf};

/// What was read, as JSON; or the error.
fn read<M: Message>(bytes: &[u8]) -> String {
    match protobuf::decode::<M>(bytes) {
        Ok(message) => String::from_utf8(json::encode(&message)).unwrap(),
        Err(error) => error.to_string(),
    }
}

#[track_caller]
fn check<M: Message>(bytes: &[u8], expected: &str) {
    assert_eq!(read::<M>(bytes), expected, "{bytes:x?}");
}

/// A field of this number with these bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    prost::encoding::encode_varint(bytes.len() as u64, &mut field);
    field.extend_from_slice(bytes);
    field
}

#[test]
fn a_missing_required_field_is_named_at_any_depth() {
    check::<Label>(b"", "missing required field `key`");
    check::<Label>(&field(2, b"v"), "missing required field `key`");
    check::<value::Range>(b"\x08\x01", "missing required field `end`");
    check::<value::Range>(b"\x08\x00\x10\x00", r#"{"begin":0,"end":0}"#);

    let resource = [field(1, b"cpus"), b"\x10\0".to_vec(), field(3, b"")].concat();
    let id = field(1, b"t");
    let task = |resource: &[u8]| {
        [field(1, b"n"), field(2, &id), field(3, &id), field(4, resource)].concat()
    };
    let launch =
        field(2, &[field(1, &task(b"\x0a\x01c\x10\0")), field(1, &task(&resource))].concat());
    let accept = field(2, &launch);
    check::<scheduler::Call>(
        &field(4, &accept),
        "missing required field `accept.operations[0].launch.task_infos[1].resources[0].scalar.value`",
    );
}

#[test]
fn an_enum_nobody_knows_is_missing_where_it_is_required() {
    check::<Resource>(b"\x0a\x01n\x10\x02", r#"{"name":"n","type":"SET"}"#);
    check::<Resource>(b"\x0a\x01n\x10\x63", "missing required field `type`");
    // The last value counts, as in prost.
    check::<Resource>(b"\x0a\x01n\x10\x63\x10\x02", r#"{"name":"n","type":"SET"}"#);
    check::<Resource>(b"\x0a\x01n\x10\x02\x10\x63", "missing required field `type`");
}

#[test]
fn an_enum_nobody_knows_is_unset_where_it_is_optional() {
    let call = protobuf::decode::<scheduler::Call>(b"\x10\x63").unwrap();
    assert_eq!(call, scheduler::Call::default());
    // Beyond 32 bits.
    let wide = b"\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
    assert_eq!(protobuf::decode::<scheduler::Call>(wide).unwrap(), call);
    // In a list, one by one or packed.
    let known = CapabilityInfo { capabilities: vec![1000, 1001] };
    let single = b"\x08\xe8\x07\x08\x01\x08\xe9\x07";
    assert_eq!(protobuf::decode(single), Ok(known.clone()));
    assert_eq!(protobuf::decode(b"\x0a\x05\xe8\x07\x01\xe9\x07"), Ok(known));
    // In a oneof.
    check::<scheduler::attribute_constraint::Selector>(b"\x08\x63", "{}");
    // With a default.
    check::<environment::Variable>(b"\x0a\x01n\x18\x63", r#"{"name":"n","type":"VALUE"}"#);
}

#[test]
fn unknown_fields_are_ignored() {
    let unknown: &[&[u8]] = &[
        b"\xf8\x07\x01",
        b"\xf9\x07\0\0\0\0\0\0\0\0",
        b"\xfa\x07\x02\xff\xff",
        b"\xfd\x07\0\0\0\0",
        // a group with a field
        b"\xfb\x07\x08\x01\xfc\x07",
    ];
    for bytes in unknown {
        check::<Label>(&[bytes, &b"\x0a\x01k"[..], bytes].concat(), r#"{"key":"k"}"#);
    }
}

#[test]
fn a_message_in_pieces_is_checked_as_one() {
    // Twice 3 `ranges` and twice 2 `scalar`, of which only the second has its value.
    let range = |range: &[u8]| field(1, range);
    let bytes = [
        b"\x08\x01".to_vec(),
        field(3, &range(b"\x08\x01\x10\x02")),
        field(2, b""),
        field(3, &range(b"\x08\x03\x10\x04")),
        field(2, b"\x09\0\0\0\0\0\0\0\0"),
    ]
    .concat();
    check::<Value>(
        &bytes,
        r#"{"type":"RANGES","scalar":{"value":0.0},"ranges":{"range":[{"begin":1,"end":2},{"begin":3,"end":4}]}}"#,
    );
    let missing = [b"\x08\x01".to_vec(), field(2, b""), field(2, b"")].concat();
    check::<Value>(&missing, "missing required field `scalar.value`");
}

#[test]
fn the_entry_of_a_map_may_lack_its_value_but_not_a_field_of_it() {
    let entry = |entry: &[u8]| field(1, entry);
    let full = [field(1, b"k"), field(2, b"\x09\0\0\0\0\0\0\xe0\x3f")].concat();
    type Quantities = offer_filters::ResourceQuantities;
    check::<Quantities>(&entry(&full), r#"{"quantities":{"k":{"value":0.5}}}"#);
    check::<Quantities>(&entry(&field(1, b"k")), r#"{"quantities":{"k":{"value":0.0}}}"#);
    let without = [field(1, b"k"), field(2, b"")].concat();
    check::<Quantities>(&entry(&without), "missing required field `quantities[0].value.value`");
}

#[test]
fn nesting_deeper_than_100_is_an_error() {
    let nested = |depth: usize| {
        let mut bytes = field(1, b"c");
        for _ in 0..depth {
            bytes = [field(1, b"c"), field(2, &bytes)].concat();
        }
        protobuf::decode::<ContainerId>(&bytes).map(drop)
    };
    assert_eq!(nested(99), Ok(()));
    assert!(nested(101).is_err());
    assert_eq!(nested(2000), Err(DecodeError::TooDeep { limit: 100 }));
    // Unknown groups, which a reader has to enter to skip.
    let groups = b"\xfb\x07".repeat(100_000);
    assert!(matches!(protobuf::decode::<Label>(&groups), Err(DecodeError::Protobuf(_))));
}

#[test]
fn few_bytes_that_need_much_memory_are_an_error() {
    let empty = field(5, b"").repeat(3_000_000);
    check::<NetworkInfo>(&empty, "needs more than 67108864 bytes in memory");
    // What lies in a box counts as well: 7 `disk` of a resource.
    let resource = [field(1, b""), b"\x10\0".to_vec()].concat();
    let resources = field(2, &resource).repeat(100_000);
    assert!(protobuf::decode::<Request>(&resources).is_ok());
    let disks = field(2, &[resource, field(7, b"")].concat()).repeat(100_000);
    check::<Request>(&disks, "needs more than 67108864 bytes in memory");
    let strings = field(3, b"").repeat(3_000_000);
    check::<NetworkInfo>(&strings, "needs more than 67108864 bytes in memory");
    // So do the pieces of one message, here 3 `ranges`, while they are checked.
    let pieces = |count| [&b"\x08\x01"[..], &field(3, b"").repeat(count)].concat();
    check::<Value>(&pieces(500_000), r#"{"type":"RANGES","ranges":{}}"#);
    check::<Value>(&pieces(1_000_000), "needs more than 67108864 bytes in memory");
}

#[test]
fn what_is_not_protobuf_is_an_error() {
    let cut = field(1, b"key");
    for bad in
        [&cut[..4], b"\x0a", b"\x0a\x05k", b"\xff", b"\x0c", b"\x08\x01", b"\x0a\x01\xff", b"\0"]
    {
        let error = protobuf::decode::<Label>(bad).unwrap_err();
        let is_protobuf = matches!(error, DecodeError::Protobuf(_));
        assert!(is_protobuf, "{bad:x?}: {error}");
    }
    // A length for a message that is longer than the rest.
    let error = protobuf::decode::<TaskInfo>(b"\x12\x7f\x0a").unwrap_err();
    assert!(matches!(error, DecodeError::Protobuf(_)), "{error}");
}
