//! Makes the Rust types of the messages from `proto/`, and how they are read and written.
//!
//! protoc reads the files once; what it says of them goes to prost, which makes the types and
//! their protobuf form, and to `codec`, which makes the rest.

#![allow(clippy::print_stdout, reason = "how a build script speaks to cargo")]

mod codec;
mod names;

use std::io::Result;
use std::path::{Path, PathBuf};

use prost_types::FileDescriptorSet;

const PROTO: &str = "proto";
const ROOTS: [&str; 2] =
    ["proto/mesos/v1/scheduler/scheduler.proto", "proto/mesos/v1/executor/executor.proto"];

/// Large and rare: in a box, so that the messages around them stay small in memory.
const BOXED: [&str; 6] = [
    ".mesos.v1.Resource.disk",
    ".mesos.v1.Offer.Operation.launch_group",
    ".mesos.v1.Offer.Operation.grow_volume",
    ".mesos.v1.Offer.Operation.shrink_volume",
    ".mesos.v1.Offer.Operation.create_disk",
    ".mesos.v1.Offer.Operation.destroy_disk",
];

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed={PROTO}");
    let mut config = prost_build::Config::new();
    // In the order of the keys, so that equal messages have equal bytes.
    config.btree_map(["."]);
    for field in BOXED {
        config.boxed(field);
    }
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    // The tests make random messages by it.
    config.file_descriptor_set_path(out.join("mesos.fds"));
    let files = config.load_fds(&ROOTS.map(Path::new), &[Path::new(PROTO)])?;
    std::fs::write(out.join("codec.rs"), codec::generate(&names::Names::new(&files)))?;
    config.compile_fds(without_deprecation(files))
}

/// Who speaks the protocol has to use its deprecated fields as well.
fn without_deprecation(mut files: FileDescriptorSet) -> FileDescriptorSet {
    for file in &mut files.file {
        let mut messages: Vec<_> = file.message_type.iter_mut().collect();
        while let Some(message) = messages.pop() {
            for field in &mut message.field {
                if let Some(options) = &mut field.options {
                    options.deprecated = None;
                }
            }
            for value in message.enum_type.iter_mut().flat_map(|each| &mut each.value) {
                value.options = None;
            }
            messages.extend(&mut message.nested_type);
        }
    }
    files
}
