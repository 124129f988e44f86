//! What each fuzz target does with its input. A fault is a panic.
//!
//! Shared by libFuzzer (`fuzz_targets/`, see `run`) and by the tests, which run them on stable Rust
//! with mutated seeds (`tests/it/fuzz.rs`).

use meseta_mesos_wire::v1::{executor, scheduler};
use meseta_mesos_wire::{DecodeError, Message, json, protobuf, recordio};
use serde::de::IgnoredAny;

/// The records do not depend on how the stream is cut, and the decoder holds to its limit.
pub(crate) fn recordio(data: &[u8]) {
    const LIMIT: usize = 64;
    let decode = |step: usize| {
        let mut decoder = recordio::Decoder::new(LIMIT);
        let mut records = Vec::new();
        for piece in data.chunks(step) {
            decoder.push(piece);
            loop {
                match decoder.next_record() {
                    Ok(Some(record)) => records.push(record),
                    Ok(None) => break,
                    Err(error) => return (records, Err(error)),
                }
            }
        }
        (records, decoder.finish())
    };
    let whole = decode(data.len().max(1));
    assert_eq!(decode(1), whole);
    assert_eq!(decode(7), whole);
    assert!(whole.0.iter().all(|record| (1..=LIMIT).contains(&record.len())));
    let framed: Vec<u8> = whole.0.iter().flat_map(|record| recordio::frame(record)).collect();
    assert!(framed.len() <= data.len());
}

/// What is accepted is JSON, what is refused as JSON is none; what was read is written and read
/// equal.
pub(crate) fn json(data: &[u8]) {
    json_as::<scheduler::Call>(data);
    json_as::<scheduler::Event>(data);
    json_as::<executor::Call>(data);
    json_as::<executor::Event>(data);
}

fn json_as<M: Message>(data: &[u8]) {
    let by_serde = serde_json::from_slice::<IgnoredAny>(data);
    match json::decode::<M>(data) {
        Ok(message) => {
            assert!(by_serde.is_ok(), "accepted: {by_serde:?}");
            let text = json::encode(&message);
            // Where one element stood for a list, the list is one level more.
            match json::decode::<M>(&text) {
                Ok(again) => assert_eq!(json::encode(&again), text),
                Err(error) => assert!(matches!(error, DecodeError::TooDeep { .. }), "{error}"),
            }
            let _ = json::to_value(&message);
            if let Ok(again) = protobuf::decode::<M>(&protobuf::encode(&message)) {
                assert_eq!(json::encode(&again), text);
            }
        }
        // serde does not look into strings that nobody wants.
        Err(DecodeError::Syntax { what, .. })
            if what.contains("UTF-8") || what.contains("surrogate") || what.contains("escape") => {}
        Err(DecodeError::Syntax { what, at }) => {
            assert!(by_serde.is_err(), "refused: {what} at byte {at}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// What was read is written and read equal, in both encodings.
pub(crate) fn protobuf(data: &[u8]) {
    protobuf_as::<scheduler::Call>(data);
    protobuf_as::<scheduler::Event>(data);
    protobuf_as::<executor::Call>(data);
    protobuf_as::<executor::Event>(data);
}

fn protobuf_as<M: Message>(data: &[u8]) {
    let Ok(message) = protobuf::decode::<M>(data) else { return };
    // Bytes are compared, because a float may be no number, and then equals nothing.
    let bytes = protobuf::encode(&message);
    let again = protobuf::decode::<M>(&bytes).expect("what was written is read");
    assert_eq!(protobuf::encode(&again), bytes);
    let text = json::encode(&message);
    let again = json::decode::<M>(&text).expect("what was written is read");
    assert_eq!(json::encode(&again), text);
    let _ = json::to_value(&message);
}
