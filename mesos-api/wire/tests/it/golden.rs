//! Golden bytes of a message of each call and event, in both encodings.
//!
//! `tests/data/<message>/<name>.txtpb` is the message as protobuf text, `.pb` what protoc makes of
//! it, `.json` what a Mesos server writes for it. The JSON was made from the message tables of the
//! reference and its rules by another program than the one tested here.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use meseta_mesos_wire::v1::{executor, scheduler};
use meseta_mesos_wire::{Encoding, Message, json};

const PROTO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/proto");

/// The golden files with this extension, each with the name of its message.
fn files(extension: &str) -> Vec<(String, PathBuf)> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut found = Vec::new();
    for folder in fs::read_dir(data).unwrap().map(Result::unwrap) {
        for file in fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
            if file.path().extension().is_some_and(|each| each == extension) {
                found.push((folder.file_name().into_string().unwrap(), file.path()));
            }
        }
    }
    found
}

fn check<M: Message>(file: &Path) {
    let name = file.display();
    let protobuf = fs::read(file.with_extension("pb")).unwrap();
    let text = fs::read(file.with_extension("json")).unwrap();
    let text = text.strip_suffix(b"\n").unwrap();
    let message: M = Encoding::Protobuf.decode(&protobuf).unwrap();
    let from_json: M = Encoding::Json.decode(text).unwrap();

    assert_eq!(Encoding::Protobuf.encode(&message), protobuf, "{name}");
    for each in [&message, &from_json] {
        let written = Encoding::Json.encode(each);
        assert_eq!(str::from_utf8(&written), str::from_utf8(text), "{name}");
    }

    let value = json::to_value(&message);
    let by_serde: serde_json::Value = serde_json::from_slice(text).unwrap();
    assert_eq!(value, by_serde, "{name}");
    assert_eq!(json::from_value::<M>(&value), Ok(from_json), "{name}");
}

#[test]
fn golden_messages_are_read_and_written_to_the_byte() {
    for (message, file) in files("txtpb") {
        match message.as_str() {
            "scheduler.Call" => check::<scheduler::Call>(&file),
            "scheduler.Event" => check::<scheduler::Event>(&file),
            "scheduler.APIResult" => check::<scheduler::ApiResult>(&file),
            "executor.Call" => check::<executor::Call>(&file),
            "executor.Event" => check::<executor::Event>(&file),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn golden_protobuf_is_what_protoc_makes() {
    for (message, file) in files("txtpb") {
        let package = message.split('.').next().unwrap();
        let made = Command::new(std::env::var_os("PROTOC").unwrap_or_else(|| "protoc".into()))
            .arg(format!("--encode=mesos.v1.{message}"))
            .arg(format!("-I{PROTO}"))
            .arg(format!("{PROTO}/mesos/v1/{package}/{package}.proto"))
            .stdin(fs::File::open(&file).unwrap())
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        assert_eq!(made.stdout, fs::read(file.with_extension("pb")).unwrap(), "{}", file.display());
    }
}

/// The types of the golden calls or events of `message`.
fn types<M: Message>(message: &str, type_of: fn(M) -> i32) -> BTreeSet<i32> {
    let read = |(_, file): (String, PathBuf)| {
        type_of(Encoding::Protobuf.decode(&fs::read(file).unwrap()).unwrap())
    };
    files("pb").into_iter().filter(|(name, _)| name == message).map(read).collect()
}

#[test]
fn every_call_and_event_has_a_golden_message() {
    let call = types::<scheduler::Call>("scheduler.Call", |call| call.r#type.unwrap());
    assert_eq!(call, (1..=17).collect());
    let event = types::<scheduler::Event>("scheduler.Event", |event| event.r#type.unwrap());
    assert_eq!(event, (1..=11).collect());
    let call = types::<executor::Call>("executor.Call", |call| call.r#type.unwrap());
    assert_eq!(call, (1..=4).collect());
    let event = types::<executor::Event>("executor.Event", |event| event.r#type.unwrap());
    assert_eq!(event, (1..=9).collect());
}

/// Bytes put together by hand from the message tables.
#[test]
fn bytes_by_hand() {
    fn check<M: Message>(bytes: &[&[u8]], json: &str) {
        let bytes = bytes.concat();
        let message: M = Encoding::Json.decode(json.as_bytes()).unwrap();
        assert_eq!(Encoding::Protobuf.encode(&message), bytes, "{json}");
        assert_eq!(Encoding::Protobuf.decode(&bytes), Ok(message), "{json}");
    }
    // 1 framework_id {1 value}, 2 type
    let teardown: &[&[u8]] = &[b"\x0a\x03\x0a\x01f", b"\x10\x02"];
    check::<scheduler::Call>(teardown, r#"{"framework_id":{"value":"f"},"type":"TEARDOWN"}"#);
    // 2 type, 3 subscribe {1 framework_info {1 user, 2 name, 4 failover_timeout, 5 checkpoint,
    // 12 roles}, 2 suppressed_roles}
    check::<scheduler::Call>(
        &[
            b"\x10\x01\x1a\x1b",
            b"\x0a\x16\x0a\x01u\x12\x01n\x21\0\0\0\0\0\0\x59\x40\x28\x01\x62\x03eng",
            b"\x12\x01r",
        ],
        r#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"u","name":"n",
            "failover_timeout":100,"checkpoint":true,"roles":["eng"]},"suppressed_roles":"r"}}"#,
    );
    // 2 type, 4 accept {1 offer_ids {1}, 2 operations {1 type, 2 launch {1 task_infos {1 name,
    // 2 task_id {1}, 3 agent_id {1}, 4 resources {1 name, 2 type, 3 scalar {1 double}}}}},
    // 3 filters {1 double}}
    check::<scheduler::Call>(
        &[
            b"\x10\x03\x22\x3a\x0a\x03\x0a\x01o",
            b"\x12\x28\x08\x01\x12\x24\x0a\x22\x0a\x01t\x12\x03\x0a\x01i\x1a\x03\x0a\x01a",
            b"\x22\x13\x0a\x04cpus\x10\0\x1a\x09\x09\0\0\0\0\0\0\xe0\x3f",
            b"\x1a\x09\x09\0\0\0\0\0\0\x08\x40",
        ],
        r#"{"type":"ACCEPT","accept":{"offer_ids":[{"value":"o"}],"operations":[{"type":"LAUNCH",
            "launch":{"task_infos":[{"name":"t","task_id":{"value":"i"},"agent_id":{"value":"a"},
            "resources":[{"name":"cpus","type":"SCALAR","scalar":{"value":0.5}}]}]}}],
            "filters":{"refuse_seconds":3}}}"#,
    );
    // 1 type, 5 update {1 status {1 task_id {1}, 2 state, 9 source, 10 reason, 11 uuid}}
    check::<scheduler::Event>(
        &[b"\x08\x04\x2a\x11\x0a\x0f\x0a\x03\x0a\x01t\x10\x07\x48\0\x50\x09\x5a\x02\xff\x01"],
        r#"{"type":"UPDATE","update":{"status":{"task_id":{"value":"t"},"state":"TASK_ERROR",
            "source":"SOURCE_MASTER","reason":"REASON_RECONCILIATION","uuid":"/wE="}}}"#,
    );
    // 1 executor_id {1}, 2 framework_id {1}, 3 type, 6 message {2 data}
    check::<executor::Call>(
        &[b"\x0a\x03\x0a\x01e\x12\x03\x0a\x01f\x18\x03\x32\x03\x12\x01d"],
        r#"{"executor_id":{"value":"e"},"framework_id":{"value":"f"},"type":"MESSAGE",
            "message":{"data":"ZA=="}}"#,
    );
    // 1 type, 3 acknowledged {1 task_id {1}, 2 uuid}
    check::<executor::Event>(
        &[b"\x08\x04\x1a\x08\x0a\x03\x0a\x01t\x12\x01\0"],
        r#"{"type":"ACKNOWLEDGED","acknowledged":{"task_id":{"value":"t"},"uuid":"AA=="}}"#,
    );
}
