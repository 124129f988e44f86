use std::io::{BufReader, Cursor, Read as _};

use super::{Chunks, next_event};

fn chunked(parts: &[&str]) -> Chunks<Cursor<Vec<u8>>> {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(format!("{:x}\r\n{part}\r\n", part.len()).as_bytes());
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    Chunks { inner: Cursor::new(bytes), left: 0 }
}

#[test]
fn a_record_may_begin_and_end_in_any_chunk() {
    let two = "20\n{\"type\":\"HEARTBEAT\"}19\n{\"type\":\"SUPPRESS\"}";
    for cut in 1..two.len() {
        let (first, second) = two.split_at(cut);
        let mut records = BufReader::with_capacity(7, chunked(&[first, second]));
        let mut next = || next_event(&mut records).unwrap().map(|event| event.body.to_string());
        assert_eq!(next().as_deref(), Some(r#"{"type":"HEARTBEAT"}"#), "cut at {cut}");
        assert_eq!(next().as_deref(), Some(r#"{"type":"SUPPRESS"}"#), "cut at {cut}");
        assert_eq!(next(), None);
    }
}

#[test]
fn a_stream_that_breaks_off_is_an_error() {
    let whole = "20\n{\"type\":\"HEARTBEAT\"}";
    let mut records =
        BufReader::new(Chunks { inner: Cursor::new(b"5\r\n20\n{".to_vec()), left: 0 });
    assert!(next_event(&mut records).is_err());
    let mut records = BufReader::new(chunked(&[whole]).take(8));
    assert!(next_event(&mut records).is_err());
    let mut records = BufReader::new(chunked(&["x\n{}"]));
    assert!(next_event(&mut records).is_err());
}
