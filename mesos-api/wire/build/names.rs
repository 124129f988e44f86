//! The names prost gives to what the .proto files declare.

use std::collections::BTreeMap;

use heck::{ToSnakeCase as _, ToUpperCamelCase as _};
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorSet};

/// A message, with the path of its Rust type.
pub(crate) struct Message<'a> {
    /// As `crate::v1::offer::Operation`.
    pub(crate) path: String,
    /// The module of what is declared in it, as `crate::v1::offer::operation`.
    pub(crate) module: String,
    pub(crate) proto: &'a DescriptorProto,
}

/// Everything declared, by its full name in the .proto files, as `.mesos.v1.Offer.Operation`.
#[derive(Default)]
pub(crate) struct Names<'a> {
    /// Without those that stand for the entries of maps.
    pub(crate) messages: BTreeMap<String, Message<'a>>,
    pub(crate) enums: BTreeMap<String, String>,
    entries: BTreeMap<String, &'a DescriptorProto>,
}

impl<'a> Names<'a> {
    pub(crate) fn new(files: &'a FileDescriptorSet) -> Self {
        let mut names = Self::default();
        for file in &files.file {
            let package = file.package();
            let module = package.strip_prefix("mesos.").expect("all packages are Mesos'");
            let module = format!("crate::{}", module.replace('.', "::"));
            for message in &file.message_type {
                names.message(&format!(".{package}"), &module, message);
            }
            for each in &file.enum_type {
                names.enumeration(&format!(".{package}"), &module, each);
            }
        }
        names
    }

    fn message(&mut self, scope: &str, module: &str, proto: &'a DescriptorProto) {
        let name = format!("{scope}.{}", proto.name());
        if proto.options.as_ref().is_some_and(|options| options.map_entry()) {
            self.entries.insert(name, proto);
            return;
        }
        let path = format!("{module}::{}", proto.name().to_upper_camel_case());
        let module = format!("{module}::{}", proto.name().to_snake_case());
        for nested in &proto.nested_type {
            self.message(&name, &module, nested);
        }
        for each in &proto.enum_type {
            self.enumeration(&name, &module, each);
        }
        self.messages.insert(name, Message { path, module, proto });
    }

    fn enumeration(&mut self, scope: &str, module: &str, proto: &EnumDescriptorProto) {
        let path = format!("{module}::{}", proto.name().to_upper_camel_case());
        self.enums.insert(format!("{scope}.{}", proto.name()), path);
    }

    /// The entry of a map, if that is what `type_name` stands for.
    pub(crate) fn entry(&self, type_name: &str) -> Option<&'a DescriptorProto> {
        self.entries.get(type_name).copied()
    }
}

/// The type of a oneof, or a variant of it.
pub(crate) fn camel(name: &str) -> String {
    name.to_upper_camel_case()
}
