//! What others see on the wire, and what is made of what they send.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod fuzz;
mod golden;
mod json_reading;
mod json_writing;
mod protobuf_reading;
mod random;
