use bytes::Bytes;
use proptest::prelude::*;

use super::{open, seal};
use crate::POSITIONS;

proptest! {
    #[test]
    fn what_was_sealed_is_what_is_opened(
        position in 0..POSITIONS,
        value in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let opened = open(seal(position, &value).into());
        prop_assert_eq!(opened, Ok((position, Bytes::from(value))));
    }

    #[test]
    fn no_bytes_make_it_panic(envelope in proptest::collection::vec(any::<u8>(), 0..10)) {
        let _ = open(envelope.into());
    }
}

#[test]
fn what_is_not_an_envelope_says_why() {
    let why = |bytes: &'static [u8]| open(Bytes::from_static(bytes)).unwrap_err();
    assert_eq!(why(b""), "0 bytes are too few for an envelope");
    assert_eq!(why(b"{\"kind\":\"Task\"}"), "envelope version 123 is unknown");
    assert_eq!(why(&[1, 7, 0, 0]), "codec 7 is unknown");
    assert_eq!(why(&[1, 0, 4, 0]), "position 1024 is out of range");
}
