//! The real program, as root, making real containers in temporary directories.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

mod deaths;
mod ends;
mod environment;
mod fixture;
mod limits;
mod roots;
