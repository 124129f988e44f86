//! `impl Message` for each message, made by `build/codec.rs`.

#![allow(unused_mut, reason = "generated; not every message has a required field, or any")]
#![allow(clippy::all, reason = "generated")]

use crate::error::{At, DecodeError};
use crate::json::kind::{self, Kind};
use crate::json::read::{self, Seen};
use crate::json::{Reader, write};
use crate::message::{Content, Enum, Field, Label, Message, Shape, scrub};

macro_rules! enumeration {
    ($path:path) => {
        impl Enum for $path {
            fn known(value: i32) -> bool {
                <$path>::try_from(value).is_ok()
            }

            fn name(value: i32) -> Option<&'static str> {
                <$path>::try_from(value).ok().map(|value| value.as_str_name())
            }

            fn from_name(name: &str) -> Option<i32> {
                <$path>::from_str_name(name).map(i32::from)
            }
        }
    };
}

include!(concat!(env!("OUT_DIR"), "/codec.rs"));
