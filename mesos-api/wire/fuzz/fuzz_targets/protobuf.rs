//! See `protobuf` in `targets.rs`.

#![no_main]
#![allow(dead_code, reason = "the other targets")]

#[path = "../targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::protobuf(data));
