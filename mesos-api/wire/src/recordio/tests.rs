use proptest::prelude::*;

use super::*;

/// The records of `stream`, pushed in pieces of `step` bytes, and how it ended.
fn decode(stream: &[u8], step: usize, limit: usize) -> (Vec<Bytes>, Result<(), Error>) {
    let mut decoder = Decoder::new(limit);
    let mut records = Vec::new();
    for piece in stream.chunks(step) {
        decoder.push(piece);
        loop {
            match decoder.next_record() {
                Ok(Some(record)) => records.push(record),
                Ok(None) => break,
                Err(error) => return (records, Err(error)),
            }
        }
        assert!(decoder.buffer.len() <= limit.max(MAX_LENGTH_DIGITS));
    }
    (records, decoder.finish())
}

fn check(stream: &[u8], expected: &[&str], end: &Result<(), Error>) {
    for step in [1, 2, 3, 1000] {
        let (records, ended) = decode(stream, step, 8);
        assert_eq!(records, expected);
        assert_eq!(&ended, end, "in steps of {step}");
    }
}

#[test]
fn a_record_is_its_length_a_line_feed_and_its_bytes() {
    assert_eq!(frame(b"{}"), b"2\n{}");
    assert_eq!(frame(&[7; 12]), [&b"12\n"[..], &[7; 12]].concat());
}

#[test]
fn records_follow_each_other_with_nothing_between() {
    check(b"", &[], &Ok(()));
    check(b"2\n{}3\nabc", &["{}", "abc"], &Ok(()));
    check(b"3\n1\n21\n\n", &["1\n2", "\n"], &Ok(()));
}

#[test]
fn empty_records_are_skipped() {
    check(b"0\n0\n1\na0\n", &["a"], &Ok(()));
}

#[test]
fn a_length_that_is_not_a_plain_decimal_number_breaks_the_stream() {
    let too_large = b"18446744073709551616\n";
    let too_many = b"000000000000000000001\na";
    for bad in [&b"\n"[..], b"x\n", b"-1\na", b"+1\na", b" 1\na", b"1 \na", b"1\r\na", b"0x1\na"] {
        check(bad, &[], &Err(Error::Length));
    }
    check(too_large, &[], &Err(Error::Length));
    check(too_many, &[], &Err(Error::Length));
    check(b"1\na{}", &["a"], &Err(Error::Length));
}

#[test]
fn a_record_over_the_limit_breaks_the_stream_before_its_bytes_are_read() {
    check(b"8\n12345678", &["12345678"], &Ok(()));
    check(b"9\n", &[], &Err(Error::TooLong { length: 9, limit: 8 }));
    let largest = Error::TooLong { length: u64::MAX, limit: 8 };
    check(b"18446744073709551615\n", &[], &Err(largest));
}

#[test]
fn nothing_comes_after_an_error() {
    let mut decoder = Decoder::default();
    decoder.push(b"x");
    assert_eq!(decoder.next_record(), Err(Error::Length));
    decoder.push(b"1\na");
    assert_eq!(decoder.next_record(), Err(Error::Length));
    assert_eq!(decoder.finish(), Err(Error::Length));
}

#[test]
fn a_stream_that_ends_within_a_record_is_truncated() {
    check(b"1", &[], &Err(Error::Truncated));
    check(b"2\na", &[], &Err(Error::Truncated));
}

proptest! {
    #[test]
    fn records_come_back_however_the_stream_is_cut(
        records in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..20),
        step in 1_usize..50,
    ) {
        let stream: Vec<u8> = records.iter().flat_map(|record| frame(record)).collect();
        let (decoded, end) = decode(&stream, step, 40);
        prop_assert_eq!(decoded, records);
        prop_assert_eq!(end, Ok(()));
    }

    #[test]
    fn any_bytes_are_records_or_an_error(
        stream in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\n'), b'0'..=b'9'], 0..200),
        step in 1_usize..50,
    ) {
        prop_assert_eq!(decode(&stream, step, 30), decode(&stream, 1000, 30));
    }
}
