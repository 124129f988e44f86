//! Writes `impl Message` for each message and `impl Enum` for each enum: what a message has is
//! listed there, field by field, and how each kind of field is read and written is in `src/kind.rs`
//! and `src/field.rs`.

use std::fmt::Write as _;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto};

use crate::BOXED;
use crate::names::{Message, Names, camel};

/// The code for everything in `names`.
pub(crate) fn generate(names: &Names<'_>) -> String {
    let mut out = String::new();
    for path in names.enums.values() {
        let _ = writeln!(out, "enumeration!({path});");
    }
    for (name, message) in &names.messages {
        Generator { names, name, message }.implement(&mut out);
    }
    out
}

struct Generator<'a> {
    names: &'a Names<'a>,
    name: &'a str,
    message: &'a Message<'a>,
}

/// How a field lies in the Rust type.
enum Place<'a> {
    /// In a field of its own; with what `src/field.rs` calls its label.
    Own(&'static str),
    /// In the oneof of this name.
    OneOf(&'a str),
}

impl Generator<'_> {
    fn implement(&self, out: &mut String) {
        let proto = self.message.proto;
        assert!(proto.field.len() <= 32, "raise Shape::MAX_FIELDS, and this");
        let required: Vec<_> =
            proto.field.iter().filter(|field| field.label() == Label::Required).collect();
        let (mut read, mut write, mut scrub, mut shape) =
            (String::new(), String::new(), String::new(), String::new());
        for field in &proto.field {
            self.read(field, &required, &mut read);
            self.write(field, &mut write);
            self.scrub(field, &mut scrub);
            self.shape(field, &mut shape);
        }
        let names = required.iter().map(|field| format!("{:?}, ", field.name()));
        let _ = writeln!(
            out,
            "impl Message for {path} {{
    fn shape() -> &'static Shape {{
        static SHAPE: Shape = Shape {{ fields: &[
{shape}        ] }};
        &SHAPE
    }}
    fn read_json(r: &mut Reader<'_>, at: &At<'_>) -> Result<Self, DecodeError> {{
        let mut m = Self::default();
        let mut seen = Seen::default();
        r.begin_object(at)?;
        while let Some(key) = r.key()? {{
            match &*key {{
{read}                _ => r.skip()?,
            }}
        }}
        seen.all(at, &[{names}])?;
        Ok(m)
    }}
    fn write_json(&self, out: &mut Vec<u8>) {{
        let begin = out.len();
{write}        write::close(out, begin);
    }}
    fn drop_unknown(&mut self) {{
{scrub}    }}
}}",
            path = self.message.path,
            names = names.collect::<String>(),
        );
    }

    fn read(
        &self,
        field: &FieldDescriptorProto,
        required: &[&FieldDescriptorProto],
        out: &mut String,
    ) {
        let (name, kind) = (field.name(), self.kind(field));
        let call = match self.place(field) {
            Place::OneOf(group) => format!(
                "read::one_of::<{kind}, _, _>(r, &at.field({name:?}), &mut m.r#{group}, {})?",
                self.variant(group, name)
            ),
            Place::Own("required") => {
                let bit = required.iter().position(|each| each.number == field.number);
                let bit = bit.expect("it is one of them");
                format!(
                    "read::required::<{kind}, _>(r, &at.field({name:?}), &mut m.r#{name}, \
                     &mut seen, {bit})?"
                )
            }
            Place::Own(label) => {
                format!("read::{label}::<{kind}, _>(r, &at.field({name:?}), &mut m.r#{name})?")
            }
        };
        let _ = writeln!(out, "                {name:?} => {call},");
    }

    fn write(&self, field: &FieldDescriptorProto, out: &mut String) {
        let (name, kind) = (field.name(), self.kind(field));
        let key = format!("b\",\\\"{name}\\\":\"");
        let deprecated = field.options.as_ref().is_some_and(|options| options.deprecated());
        let call = match self.place(field) {
            Place::OneOf(group) => format!(
                "if let Some({}(value)) = &self.r#{group} {{ \
                 write::required::<{kind}, _>(out, {key}, value); }}",
                self.variant(group, name)
            ),
            Place::Own("optional") if field.default_value.is_some() && !deprecated => {
                let value = match field.r#type() {
                    Type::Enum => format!("i32::from(self.r#{name}())"),
                    Type::String | Type::Bytes => format!("self.r#{name}().to_owned()"),
                    _ => format!("self.r#{name}()"),
                };
                format!("write::required::<{kind}, _>(out, {key}, &{value});")
            }
            Place::Own(label) => {
                format!("write::{label}::<{kind}, _>(out, {key}, &self.r#{name});")
            }
        };
        let _ = writeln!(out, "        {call}");
    }

    /// Unknown values can stand in enums only.
    fn scrub(&self, field: &FieldDescriptorProto, out: &mut String) {
        let (name, kind) = (field.name(), self.kind(field));
        if !matches!(self.value(field).r#type(), Type::Enum | Type::Message) {
            return;
        }
        let call = match self.place(field) {
            Place::OneOf(group) => format!(
                "if let Some({}(value)) = &mut self.r#{group} && \
                 !<{kind} as Kind<_>>::scrub(value) {{ self.r#{group} = None; }}",
                self.variant(group, name)
            ),
            Place::Own(label) => format!("scrub::{label}::<{kind}, _>(&mut self.r#{name});"),
        };
        let _ = writeln!(out, "        {call}");
    }

    /// What the check of protobuf bytes has to know of the field, if anything.
    fn shape(&self, field: &FieldDescriptorProto, out: &mut String) {
        let value = self.value(field);
        let content = match value.r#type() {
            // Of an entry that has no value, prost makes a default one.
            Type::Message if self.entry(field).is_some() => format!(
                "Message(|| {{
                static ENTRY: Shape = Shape {{ fields: &[
                    Field {{ number: 2, name: \"value\", label: Label::Optional, \
                     content: Content::Message({}::shape), memory: 0 }}
                ] }};
                &ENTRY
            }})",
                self.message_path(value)
            ),
            Type::Message => format!("Message({}::shape)", self.message_path(value)),
            Type::Enum => format!("Enum({}::known)", self.enum_path(value)),
            _ => "Scalar".to_owned(),
        };
        let (label, memory) = (format!("{:?}", field.label()), self.memory(field));
        if content == "Scalar" && label == "Optional" {
            return;
        }
        let (number, name) = (field.number(), field.name());
        let _ = writeln!(
            out,
            "            Field {{ number: {number}, name: {name:?}, label: Label::{label}, \
             content: Content::{content}, memory: {memory} }},"
        );
    }

    /// What each occurrence of the field takes in memory beyond the message it is in: those of lists
    /// and maps, and those in a box.
    fn memory(&self, field: &FieldDescriptorProto) -> String {
        let repeated = field.label() == Label::Repeated;
        let value = self.value(field);
        match value.r#type() {
            Type::Message if self.entry(field).is_some() => {
                format!("size_of::<(String, {})>()", self.message_path(value))
            }
            Type::Message if repeated || self.is_boxed(field) => {
                format!("size_of::<{}>()", self.message_path(value))
            }
            Type::String | Type::Bytes if repeated => "size_of::<String>()".to_owned(),
            _ => "0".to_owned(),
        }
    }

    fn is_boxed(&self, field: &FieldDescriptorProto) -> bool {
        let name = format!("{}.{}", self.name, field.name());
        field.type_name() == self.name || BOXED.contains(&name.as_str())
    }

    fn place<'a>(&self, field: &'a FieldDescriptorProto) -> Place<'a>
    where
        Self: 'a,
    {
        if let Some(index) = field.oneof_index {
            let index = usize::try_from(index).expect("protoc numbers them from 0");
            return Place::OneOf(self.message.proto.oneof_decl[index].name());
        }
        Place::Own(match field.label() {
            Label::Required => "required",
            Label::Optional => "optional",
            Label::Repeated if self.entry(field).is_some() => "map",
            Label::Repeated => "repeated",
        })
    }

    fn variant(&self, group: &str, name: &str) -> String {
        format!("{}::{}::{}", self.message.module, camel(group), camel(name))
    }

    /// The type of `src/kind.rs` that reads and writes the values of the field.
    fn kind(&self, field: &FieldDescriptorProto) -> String {
        let value = self.value(field);
        match value.r#type() {
            Type::Message => "kind::Nested".to_owned(),
            Type::Enum => format!("kind::Name<{}>", self.enum_path(value)),
            Type::Bytes => "kind::Base64".to_owned(),
            Type::String => "kind::Text".to_owned(),
            Type::Bool => "kind::Truth".to_owned(),
            Type::Double => "kind::Float".to_owned(),
            Type::Int32 | Type::Int64 | Type::Uint32 | Type::Uint64 => "kind::Integer".to_owned(),
            other => panic!("Mesos has no field of type {other:?}"),
        }
    }

    /// The field itself; of a map, the value of its entries.
    fn value<'a>(&'a self, field: &'a FieldDescriptorProto) -> &'a FieldDescriptorProto {
        let Some(entry) = self.entry(field) else { return field };
        entry.field.iter().find(|each| each.number() == 2).expect("an entry has a value")
    }

    fn entry(&self, field: &FieldDescriptorProto) -> Option<&DescriptorProto> {
        self.names.entry(field.type_name())
    }

    fn message_path(&self, field: &FieldDescriptorProto) -> &str {
        &self.names.messages[field.type_name()].path
    }

    fn enum_path(&self, field: &FieldDescriptorProto) -> &str {
        &self.names.enums[field.type_name()]
    }
}
