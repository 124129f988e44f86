//! What clients written for Mesos depend on without saying so: one test for each trap.

use meseta_mesos_wire::Encoding;
use meseta_mesos_wire::v1::scheduler::{Call, call};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::cluster::{Cluster, DEADLINE};
use crate::scheduler::{STREAM_ID, info, post, raw, request, subscription};

/// A SUBSCRIBE as bytes, with these further header lines.
fn subscribe(headers: &str) -> Vec<u8> {
    let body = r#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"u","name":"n"}}}"#;
    let length = body.len();
    format!(
        "POST /api/v1/scheduler HTTP/1.1\r\nHost: m\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n{headers}\r\n{body}"
    )
    .into_bytes()
}

async fn read_until(socket: &mut TcpStream, enough: impl Fn(&str) -> bool) -> String {
    let mut read = Vec::new();
    let reading = async {
        while !enough(&String::from_utf8_lossy(&read)) {
            assert_ne!(socket.read_buf(&mut read).await.unwrap(), 0, "closed");
        }
    };
    let ended = tokio::time::timeout(DEADLINE, reading).await;
    let read = String::from_utf8(read).unwrap();
    ended.unwrap_or_else(|_| panic!("{read}"));
    read
}

/// The chunks of a chunked body, as far as they are whole.
fn chunks(body: &str) -> Vec<&str> {
    let mut chunks = Vec::new();
    let mut rest = body;
    while let Some((length, after)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap();
        let Some(chunk) = after.get(..length) else { break };
        chunks.push(chunk);
        rest = after[length..].trim_start_matches("\r\n");
    }
    chunks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_close_keeps_the_stream_and_each_chunk_is_one_record() {
    let (_cluster, plane, _agents) = Cluster::with_agent(2).await;
    let mut socket = TcpStream::connect(plane.address).await.unwrap();
    socket
        .write_all(&subscribe("Connection: close\r\nAccept: application/json\r\n"))
        .await
        .unwrap();
    let read = read_until(&mut socket, |read| read.contains("\"OFFERS\"")).await;
    let (head, body) = read.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let head = head.to_lowercase();
    for line in ["transfer-encoding: chunked", "content-type: application/json", "date: "] {
        assert!(head.contains(line), "{line} in {head}");
    }
    assert!(!head.contains("content-length"), "mesos-go knows a stream by that: {head}");
    assert!(!head.contains("charset"), "{head}");
    let chunks = chunks(body);
    assert!(chunks.len() >= 2, "{body}");
    for chunk in &chunks {
        let (length, record) = chunk.split_once('\n').unwrap();
        assert_eq!(length.parse::<usize>().unwrap(), record.len(), "one record a chunk: {chunk}");
        assert!(!record.contains('\n'), "no line feed in a record: {chunk}");
    }
    assert!(chunks[0].contains(r#""type":"SUBSCRIBED""#), "{}", chunks[0]);
    assert!(chunks[0].contains(r#""heartbeat_interval_seconds":15.0"#), "{}", chunks[0]);
    assert!(chunks[1].ends_with(r#"{"type":"HEARTBEAT"}"#), "right after it: {}", chunks[1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stream_id_is_a_uuid_and_the_header_names_may_be_of_any_case() {
    let (_cluster, plane, _agents) = Cluster::with_agent(2).await;
    let mut socket = TcpStream::connect(plane.address).await.unwrap();
    socket.write_all(&subscribe("")).await.unwrap();
    let read = read_until(&mut socket, |read| read.contains("HEARTBEAT")).await;
    let line = read.lines().find(|line| line.to_lowercase().starts_with("mesos-stream-id: "));
    let id = line.unwrap().split(": ").nth(1).unwrap();
    uuid::Uuid::parse_str(id).unwrap();
    let framework = read.split(r#""framework_id":{"value":""#).nth(1).unwrap();
    let framework = framework.split('"').next().unwrap();

    // On one connection, one call after the other, as pymesos sends them: no Accept, REVIVE and
    // SUPPRESS without a body of their own.
    let mut calls = TcpStream::connect(plane.address).await.unwrap();
    for kind in ["REVIVE", "SUPPRESS"] {
        let body = format!(r#"{{"type":"{kind}","framework_id":{{"value":"{framework}"}}}}"#);
        let length = body.len();
        let text = format!(
            "POST /api/v1/scheduler HTTP/1.1\r\nHOST: m\r\nCONTENT-TYPE: application/json\r\n\
             mesos-STREAM-id: {id}\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        calls.write_all(text.as_bytes()).await.unwrap();
        let answer = read_until(&mut calls, |read| read.contains("\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
        assert!(answer.to_lowercase().contains("content-length: 0"), "{answer}");
        assert!(!answer.to_lowercase().contains("content-type"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chunked_body_with_nulls_and_numbers_as_text_subscribes_as_the_npm_client_does() {
    let (_cluster, plane, _agents) = Cluster::with_agent(1).await;
    let body = r#"{"type":"SUBSCRIBE","framework_id":null,"subscribe":{"framework_info":{"user":"u",
        "name":"n","id":null,"failover_timeout":"60","checkpoint":"true","role":null,"labels":null},
        "force":true}}"#;
    let length = body.len();
    let text = format!(
        "POST /api/v1/scheduler HTTP/1.1\r\nHost: m\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"
    );
    let mut socket = TcpStream::connect(plane.address).await.unwrap();
    socket.write_all(text.as_bytes()).await.unwrap();
    let read = read_until(&mut socket, |read| read.contains("HEARTBEAT")).await;
    assert!(read.contains(r#""type":"SUBSCRIBED""#), "{read}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_of_two_accept_headers_counts() {
    let (_cluster, plane, _agents) = Cluster::with_agent(1).await;
    let body = Encoding::Json.encode(&subscription(info("f")));
    let headers = [
        ("content-type", "application/json"),
        ("accept", "application/json"),
        ("accept", "application/x-protobuf"),
    ];
    let answer = request(plane.address, "/api/v1/scheduler", &headers, body.clone()).await;
    assert_eq!(answer.headers()["content-type"], "application/x-protobuf");
    let headers = [headers[0], ("accept", "*/*"), ("accept", "application/recordio")];
    let answer = post(plane.address, "/api/v1/scheduler", &headers, body).await;
    assert_eq!(answer.status, 406);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_version_is_made_of_numbers_on_every_master() {
    let cluster = Cluster::start().await;
    let (leader, follower) = (cluster.control_plane("a").await, cluster.control_plane("b").await);
    for plane in [&leader, &follower] {
        let answer = raw(plane.address, "GET /version").await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
        let version: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        let parts = version["version"].as_str().unwrap().split('.');
        let parts: Vec<u32> = parts.map(|part| part.parse().unwrap()).collect();
        assert_eq!(parts.len(), 3);
        let answer = raw(plane.address, "GET /health").await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_sends_to_the_leader_without_a_scheme_and_with_a_port() {
    let cluster = Cluster::start().await;
    let (leader, follower) = (cluster.control_plane("a").await, cluster.control_plane("b").await);
    let body = Encoding::Json.encode(&subscription(info("f")));
    let headers = [("content-type", "application/json")];
    let path = "/master/api/v1/scheduler?x=1";
    let answer = post(follower.address, path, &headers, body).await;
    assert_eq!((answer.status, answer.header("content-length")), (307, Some("0")));
    assert_eq!(answer.header("location"), Some(&*format!("//{}{path}", leader.address)));
    for plane in [&leader, &follower] {
        let answer = raw(plane.address, "GET /redirect").await;
        assert_eq!(answer.status, 307);
        assert_eq!(answer.header("location"), Some(&*format!("//{}", leader.address)));
        assert_eq!(raw(plane.address, "GET /redirect/more").await.status, 404);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_longest_prefix_answers_and_the_long_forms_too() {
    let (_cluster, plane, _agents) = Cluster::with_agent(1).await;
    let body = Encoding::Json.encode(&subscription(info("f")));
    let headers = [("content-type", "application/json")];
    for path in ["/master/api/v1/scheduler", "/api/v1/scheduler/", "/api/v1/scheduler/more"] {
        let answer = request(plane.address, path, &headers, body.clone()).await;
        assert_eq!(answer.status(), 200, "{path}");
    }
    let answer = post(plane.address, "/api/v1/operator", &headers, b"{}".to_vec()).await;
    assert_eq!(answer.status, 501, "the operator API's handler, not 404: {}", answer.body);
    for path in ["/api/v1/scheduler/..", "/state.json", "/"] {
        let answer = post(plane.address, path, &headers, body.clone()).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    }
}

/// Status and gist of the answer; Content-Type, body, stream id and Accept of the request.
type Case<'a> = (u16, &'a str, Option<&'a str>, &'a str, Option<&'a str>, Option<&'a str>);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_answered_by_the_first_check_that_fails() {
    let (_cluster, plane, _agents) = Cluster::with_agent(1).await;
    let scheduler = plane.scheduler("f").await;
    let answer = raw(plane.address, "GET /api/v1/scheduler").await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
    let json = "application/json";
    let known = format!(r#""framework_id":{{"value":"{}"}}"#, scheduler.id);
    let good = format!(r#"{{"type":"REVIVE",{known}}}"#);
    let (good, own) = (good.as_str(), scheduler.stream_id.as_str());
    let unknown = r#"{"type":"REVIVE","framework_id":{"value":"x"}}"#;
    let accept = format!(r#"{{"type":"ACCEPT",{known}}}"#);
    let no_type = format!("{{{known}}}");
    let other_type = format!(r#"{{"type":"DANCE",{known}}}"#);
    let kind_zero = format!(r#"{{"type":"UNKNOWN",{known}}}"#);
    let stray = format!(r#"{{"type":"REVIVE",{known},"credentials":{{"a":[1]}},"revive":null}}"#);
    let operations =
        format!(r#"{{"type":"RECONCILE_OPERATIONS",{known},"reconcile_operations":{{}}}}"#);
    let subscribe =
        r#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"u","name":"n"}}}"#;
    let deep = format!("{}{}", "[".repeat(300), "]".repeat(300));
    let cases: &[Case<'_>] = &[
        (400, "Expecting 'Content-Type' to be present", None, good, Some(own), None),
        (415, "Content-Type", Some("application/json; charset=utf-8"), good, Some(own), None),
        (400, "Failed to parse", Some(json), "{", Some(own), None),
        (400, "Failed to parse", Some(json), &deep, Some(own), None),
        (400, "Failed to parse", Some(json), "{} x", Some(own), None),
        (400, "Failed to validate scheduler::Call", Some(json), "{}", Some(own), None),
        (400, "'type'", Some(json), &no_type, Some(own), None),
        (400, "'type'", Some(json), &other_type, Some(own), None),
        (400, "'accept'", Some(json), &accept, Some(own), None),
        (501, "UNKNOWN", Some(json), &kind_zero, Some(own), None),
        (406, "Accept", Some(json), &operations, Some(own), Some("text/html")),
        (406, "Accept", Some(json), subscribe, None, Some("text/html")),
        (202, "", Some(json), good, Some(own), Some("text/html")),
        (400, "should not include", Some(json), subscribe, Some(own), None),
        (400, "Framework cannot be found", Some(json), unknown, Some(own), None),
        (400, "should include the 'Mesos-Stream-Id'", Some(json), good, None, None),
        (400, "didn't match the stream ID", Some(json), good, Some("no"), None),
        (202, "", Some(json), &stray, Some(own), None),
    ];
    for (status, gist, content_type, body, stream, accept) in cases {
        let mut headers = Vec::new();
        headers.extend(content_type.map(|value| ("content-type", value)));
        headers.extend(stream.map(|value| (STREAM_ID, value)));
        headers.extend(accept.map(|value| ("accept", value)));
        let path = "/api/v1/scheduler";
        let answer = post(plane.address, path, &headers, body.as_bytes().to_vec()).await;
        assert_eq!(answer.status, *status, "{body}: {}", answer.body);
        assert!(answer.body.contains(gist), "{body}: {}", answer.body);
        assert!(answer.header("content-length").is_some());
    }
    // A scheduler that has gone away.
    let call = scheduler.call(call::Type::Revive, Call::default()).await;
    assert_eq!(call.status, 202);
}
