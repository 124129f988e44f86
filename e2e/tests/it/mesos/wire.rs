//! Raw HTTP, for what pymesos cannot send and does not look at.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use meseta_e2e::{Layout, StoreKind};
use serde_json::Value;

/// Longest wait for the next bytes of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(20);
/// A SUBSCRIBE as JSON.
const SUBSCRIBE: &str =
    r#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"root","name":"raw"}}}"#;

fn send(address: &str, head: &str, headers: &[(&str, &str)], body: &[u8]) -> TcpStream {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(READ_TIMEOUT)).unwrap();
    let mut request = format!("{head} HTTP/1.1\r\nHost: {address}\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    socket.write_all(request.as_bytes()).unwrap();
    socket.write_all(body).unwrap();
    socket
}

/// The whole answer to a POST of JSON that ends the connection.
pub(super) fn post(address: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
    let usual = [("Content-Type", "application/json"), ("Connection", "close")];
    let headers = [&usual, headers].concat();
    answer(send(address, &format!("POST {path}"), &headers, body.as_bytes()))
}

fn get(address: &str, path: &str) -> String {
    answer(send(address, &format!("GET {path}"), &[("Connection", "close")], b""))
}

fn answer(mut socket: TcpStream) -> String {
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads until `enough` says so.
fn read_until(socket: &mut TcpStream, enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    while !enough(&bytes) {
        let count = socket.read(&mut buffer).unwrap();
        assert!(count > 0, "ended after {}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&buffer[..count]);
    }
    bytes
}

#[test]
fn a_stream_is_chunked_with_one_record_per_chunk_though_the_client_says_close() {
    let cluster = Layout::new(StoreKind::Embedded).agent(&[]).start().unwrap();
    let master = &cluster.control_planes()[0].mesos;
    let headers = [
        ("Content-Type", "application/json"),
        ("Accept", "application/json"),
        ("Connection", "close"),
    ];
    let mut socket = send(master, "POST /api/v1/scheduler", &headers, SUBSCRIBE.as_bytes());
    let bytes = read_until(&mut socket, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        text.contains("OFFERS") && text.ends_with("\r\n")
    });
    let text = String::from_utf8(bytes).unwrap();
    let (head, mut rest) = text.split_once("\r\n\r\n").unwrap();
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    assert!(head.contains("\r\ncontent-type: application/json\r\n"), "{head}");
    assert!(!head.contains("content-length"), "{head}");
    assert!(head.contains("\r\nmesos-stream-id: "), "{head}");
    let mut types = Vec::new();
    while !rest.is_empty() {
        let (size, after) = rest.split_once("\r\n").unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        let (chunk, after) = after.split_at(size);
        rest = after.strip_prefix("\r\n").unwrap();
        let (length, record) = chunk.split_once('\n').unwrap();
        assert_eq!(length.parse::<usize>().unwrap(), record.len(), "one record per chunk");
        assert!(!record.contains('\n'), "{record}");
        let event: Value = serde_json::from_str(record).unwrap();
        types.push(event["type"].as_str().unwrap().to_owned());
    }
    assert_eq!(types[..2], ["SUBSCRIBED", "HEARTBEAT"]);
    assert!(types.contains(&"OFFERS".to_owned()), "{types:?}");
}

#[test]
fn the_same_speaks_protobuf() {
    let cluster = Layout::new(StoreKind::Embedded).agent(&[]).start().unwrap();
    let master = &cluster.control_planes()[0].mesos;
    // Call{type: SUBSCRIBE (1), subscribe: {framework_info: {user: "root", name: "pb"}}}
    let info = [&b"\x0a\x04root"[..], b"\x12\x02pb"].concat();
    let subscribe = [&[0x0a, u8::try_from(info.len()).unwrap()][..], &info].concat();
    let call = [&[0x10, 1, 0x1a, u8::try_from(subscribe.len()).unwrap()][..], &subscribe].concat();
    let headers =
        [("Content-Type", "application/x-protobuf"), ("Accept", "application/x-protobuf")];
    let mut socket = send(master, "POST /api/v1/scheduler", &headers, &call);
    let agent = cluster.agents()[0].name.clone();
    let bytes = read_until(&mut socket, |bytes| {
        // The agent is named in the first offer.
        bytes.windows(agent.len()).any(|window| window == agent.as_bytes())
    });
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    assert!(head.contains("content-type: application/x-protobuf"), "{head}");
    // chunk size, record length, then Event{type: SUBSCRIBED (1), …}
    let body = &bytes[end + 4..];
    let lines: Vec<&[u8]> = body.splitn(3, |byte| *byte == b'\n').collect();
    assert_eq!(lines[2][..2], [0x08, 1], "{:?}", String::from_utf8_lossy(body));
}

#[test]
fn wrong_requests_get_the_answers_of_a_mesos_master() {
    let cluster = Layout::new(StoreKind::Embedded).agent(&[]).start().unwrap();
    let master = &cluster.control_planes()[0].mesos;
    let path = "/api/v1/scheduler";
    let code = |answer: &str| answer.get(9..12).unwrap_or_default().to_owned();
    let expect = |wanted: &str, answer: &str| assert_eq!(code(answer), wanted, "{answer}");
    expect("400", &post(master, path, &[], "{"));
    expect("400", &post(master, path, &[], r#"{"subscribe":{}}"#));
    expect("400", &post(master, path, &[], r#"{"type":"SUBSCRIBE"}"#));
    expect("400", &post(master, path, &[("Mesos-Stream-Id", "x")], SUBSCRIBE));
    let unknown = r#"{"type":"REVIVE","framework_id":{"value":"nobody"}}"#;
    expect("400", &post(master, path, &[], unknown));
    expect("405", &get(master, path));
    expect("404", &get(master, "/nothing"));
    let other = [("Content-Type", "text/plain"), ("Connection", "close")];
    expect("415", &answer(send(master, &format!("POST {path}"), &other, b"{}")));
    expect("200", &get(master, "/health"));
    expect("307", &get(master, "/redirect"));
    let version = get(master, "/version");
    let version: Value = serde_json::from_str(version.split_once("\r\n\r\n").unwrap().1).unwrap();
    let parts = version["version"].as_str().unwrap().split('.');
    assert!(parts.map(str::parse::<u32>).all(|part| part.is_ok()), "{version}");
    // Also by the long name, and with more path than there is.
    expect("400", &post(master, "/master/api/v1/scheduler/", &[], unknown));
    // Nesting that would overflow a stack, and a body beyond any limit.
    expect("400", &post(master, path, &[], &"[".repeat(100_000)));
    // The others do not notice.
    expect("200", &get(master, "/health"));
}
