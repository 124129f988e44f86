//! Random messages of all kinds, made from the descriptors: what goes through an encoding comes back
//! equal. Random bytes of all kinds: they are a message or an error.

use std::collections::BTreeMap;

use meseta_mesos_wire::v1::{executor, scheduler};
use meseta_mesos_wire::{Encoding, Message, json};
use proptest::prelude::*;
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

use crate::fuzz::{Random, targets};

/// As deep as no message but the recursive one goes.
const MAX_DEPTH: usize = 14;

/// Everything declared, by its full name.
struct Types {
    messages: BTreeMap<String, DescriptorProto>,
    enums: BTreeMap<String, Vec<i32>>,
}

impl Types {
    fn read() -> Self {
        let bytes = include_bytes!(concat!(env!("OUT_DIR"), "/mesos.fds"));
        let files = FileDescriptorSet::decode(&bytes[..]).unwrap();
        let mut types = Self { messages: BTreeMap::new(), enums: BTreeMap::new() };
        for file in files.file {
            // A file is as good as a message here.
            types.add(
                "",
                DescriptorProto {
                    name: file.package,
                    nested_type: file.message_type,
                    enum_type: file.enum_type,
                    ..Default::default()
                },
            );
        }
        types
    }

    fn add(&mut self, scope: &str, message: DescriptorProto) {
        let name = format!("{scope}.{}", message.name());
        for each in &message.enum_type {
            let values = each.value.iter().map(|value| value.number()).collect();
            self.enums.insert(format!("{name}.{}", each.name()), values);
        }
        for nested in message.nested_type.clone() {
            self.add(&name, nested);
        }
        self.messages.insert(name, message);
    }

    /// A random message in protobuf. Fields with a default are always set, as JSON does it.
    fn message(&self, name: &str, random: &mut Random, depth: usize) -> Vec<u8> {
        let message = &self.messages[name];
        let is_entry = message.options.as_ref().is_some_and(|options| options.map_entry());
        let mut bytes = Vec::new();
        let mut groups = Vec::new();
        for field in &message.field {
            let count = match field.label() {
                Label::Required => 1,
                Label::Optional if field.default_value.is_some() || is_entry => 1,
                _ if depth > MAX_DEPTH => 0,
                Label::Optional => random.below(2),
                Label::Repeated => random.below(4).saturating_sub(1),
            };
            if let Some(group) = field.oneof_index {
                if groups.contains(&group) || count == 0 {
                    continue;
                }
                groups.push(group);
            }
            for _ in 0..count {
                self.field(field, random, depth, &mut bytes);
            }
        }
        bytes
    }

    fn field(
        &self,
        field: &FieldDescriptorProto,
        random: &mut Random,
        depth: usize,
        out: &mut Vec<u8>,
    ) {
        let number = field.number().unsigned_abs();
        let mut delimited = |bytes: &[u8]| {
            encode_key(number, WireType::LengthDelimited, out);
            encode_varint(bytes.len() as u64, out);
            out.extend_from_slice(bytes);
        };
        let integer = random.integer();
        match field.r#type() {
            Type::Message => delimited(&self.message(field.type_name(), random, depth + 1)),
            Type::String => delimited(random.text().as_bytes()),
            Type::Bytes => delimited(&random.bytes()),
            Type::Double => {
                encode_key(number, WireType::SixtyFourBit, out);
                let any = f64::from_bits(integer);
                let value = if any.is_nan() { 0.1 } else { any };
                out.extend_from_slice(&value.to_bits().to_le_bytes());
            }
            other => {
                encode_key(number, WireType::Varint, out);
                let value = match other {
                    Type::Bool => integer % 2,
                    Type::Enum => {
                        let values = &self.enums[field.type_name()];
                        u64::from(values[random.below(values.len())].unsigned_abs())
                    }
                    Type::Uint32 => integer & u64::from(u32::MAX),
                    // The low half with its sign.
                    Type::Int32 => (integer << 32).cast_signed().wrapping_shr(32).cast_unsigned(),
                    Type::Int64 | Type::Uint64 => integer,
                    _ => panic!("Mesos has no field of type {other:?}"),
                };
                encode_varint(value, out);
            }
        }
    }
}

fn check<M: Message>(types: &Types, name: &str, seed: u64) {
    let bytes = types.message(name, &mut Random::new(seed), 0);
    let message: M = Encoding::Protobuf.decode(&bytes).unwrap();
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        let written = encoding.encode(&message);
        assert_eq!(encoding.decode(&written), Ok(message.clone()), "{name} in {encoding:?}");
    }
    let value = json::to_value(&message);
    assert_eq!(json::from_value(&value), Ok(message), "{name}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_message_comes_back_equal_through_both_encodings(seed: u64) {
        let types = Types::read();
        check::<scheduler::Call>(&types, ".mesos.v1.scheduler.Call", seed);
        check::<scheduler::Event>(&types, ".mesos.v1.scheduler.Event", seed);
        check::<scheduler::ApiResult>(&types, ".mesos.v1.scheduler.APIResult", seed);
        check::<executor::Call>(&types, ".mesos.v1.executor.Call", seed);
        check::<executor::Event>(&types, ".mesos.v1.executor.Event", seed);
    }

    #[test]
    fn any_bytes_are_a_message_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        targets::recordio(&bytes);
        targets::json(&bytes);
        targets::protobuf(&bytes);
    }

    #[test]
    fn any_text_is_a_message_or_an_error(text in "[{}\\[\\],:\"\\\\eu0-9a.\\- typ]{0,60}") {
        targets::json(text.as_bytes());
    }
}
