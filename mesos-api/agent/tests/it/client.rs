//! HTTP/1.1 by hand, so that what is sent and what comes back is seen as it is on the wire.

use std::net::SocketAddr;

use meseta_mesos_wire::{Encoding, json, v1};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::agent::{EXECUTOR, FRAMEWORK, PATIENCE};

/// What came back.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(each, _)| each == name);
        header.map(|(_, value)| value.as_str())
    }

    /// Status and text, for comparisons.
    pub(crate) fn told(&self) -> String {
        format!("{} {}", self.status, self.body).trim_end().to_owned()
    }
}

/// A connection.
pub(crate) struct Connection {
    socket: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self { socket: TcpStream::connect(address).await.unwrap(), read: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.unwrap();
    }

    /// More bytes; `false` at the end.
    async fn more(&mut self) -> bool {
        let mut buffer = vec![0; 64 * 1024];
        let read = tokio::time::timeout(PATIENCE, self.socket.read(&mut buffer));
        let length = read.await.expect("nothing comes").unwrap_or(0);
        self.read.extend_from_slice(&buffer[..length]);
        length > 0
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.read.windows(2).position(|pair| pair == b"\r\n") {
                let line = String::from_utf8(self.read[..at].to_vec()).unwrap();
                self.read.drain(..at + 2);
                return Some(line);
            }
            if !self.more().await {
                return None;
            }
        }
    }

    async fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.read.len() < length {
            assert!(self.more().await, "the connection ended too early");
        }
        self.read.drain(..length).collect()
    }

    /// Status and headers of a response.
    pub(crate) async fn head(&mut self) -> Response {
        let status = self.line().await.expect("a status line");
        let status = status.strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap();
        let mut headers = Vec::new();
        loop {
            let line = self.line().await.expect("a header or the end of them");
            if line.is_empty() {
                return Response { status, headers, body: String::new() };
            }
            let (name, value) = line.split_once(": ").unwrap();
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
    }

    /// A response of known length.
    pub(crate) async fn response(&mut self) -> Response {
        let mut response = self.head().await;
        let length = response.header("content-length").expect("a length").parse().unwrap();
        response.body = String::from_utf8(self.exactly(length).await).unwrap();
        response
    }

    /// One chunk; `None` for the last one, or the end of the connection.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        let length = usize::from_str_radix(&self.line().await?, 16).unwrap();
        let chunk = self.exactly(length).await;
        assert_eq!(self.exactly(2).await, b"\r\n");
        (length > 0).then_some(chunk)
    }
}

/// A request with these lines between the request line and the body.
pub(crate) fn request(method: &str, path: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    [head.as_bytes(), body].concat()
}

/// Sends one request on a connection of its own.
pub(crate) async fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[&str],
    body: &[u8],
) -> Response {
    let mut connection = Connection::open(address).await;
    connection.send(&request(method, path, headers, body)).await;
    connection.response().await
}

pub(crate) const PATH: &str = "/api/v1/executor";
pub(crate) const JSON: &str = "Content-Type: application/json";

/// Posts a call in JSON.
pub(crate) async fn post(address: SocketAddr, call: &Value) -> Response {
    ask(address, "POST", PATH, &[JSON], call.to_string().as_bytes()).await
}

/// A call of the executor, with `more` in it.
pub(crate) fn call(more: &Value) -> Value {
    let mut call =
        json!({"executor_id": {"value": EXECUTOR}, "framework_id": {"value": FRAMEWORK}});
    call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    call
}

pub(crate) fn status(task: &str, state: &str, uuid: u8) -> Value {
    let uuid = v1::TaskStatus { uuid: Some(vec![uuid; 16]), ..v1::TaskStatus::default() };
    let uuid = json::to_value(&uuid)["uuid"].clone();
    json!({
        "task_id": {"value": task},
        "state": state,
        "source": "SOURCE_EXECUTOR",
        "uuid": uuid,
    })
}

pub(crate) fn update(task: &str, state: &str, uuid: u8) -> Value {
    call(&json!({"type": "UPDATE", "update": {"status": status(task, state, uuid)}}))
}

pub(crate) fn subscribe(tasks: &[&str], updates: &[Value]) -> Value {
    let tasks: Vec<_> = tasks
        .iter()
        .map(|id| json!({"name": "", "task_id": {"value": id}, "agent_id": {"value": "agent-1"}}))
        .collect();
    let updates: Vec<_> = updates.iter().map(|status| json!({"status": status})).collect();
    call(&json!({
        "type": "SUBSCRIBE",
        "subscribe": {"unacknowledged_tasks": tasks, "unacknowledged_updates": updates},
    }))
}

/// An executor's stream.
pub(crate) struct Events {
    pub(crate) head: Response,
    pub(crate) connection: Connection,
    encoding: Encoding,
}

impl Events {
    /// Subscribes for the first time.
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self::open_with(address, &subscribe(&[], &[]), Encoding::Json).await
    }

    pub(crate) async fn open_with(address: SocketAddr, call: &Value, encoding: Encoding) -> Self {
        let message: v1::executor::Call = json::from_value(call).unwrap();
        let content_type = format!("Content-Type: {}", encoding.content_type());
        let accept = format!("Accept: {}", encoding.content_type());
        let headers = [content_type.as_str(), accept.as_str(), "Connection: close"];
        let mut connection = Connection::open(address).await;
        connection.send(&request("POST", PATH, &headers, &encoding.encode(&message))).await;
        let head = connection.head().await;
        assert_eq!(head.status, 200, "{head:?}");
        Self { head, connection, encoding }
    }

    /// The next event, which is one record in one chunk; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        let chunk = self.connection.chunk().await?;
        let at = chunk.iter().position(|byte| *byte == b'\n').unwrap();
        let length: usize = std::str::from_utf8(&chunk[..at]).unwrap().parse().unwrap();
        let record = &chunk[at + 1..];
        assert_eq!(record.len(), length, "a chunk is one record");
        if self.encoding == Encoding::Json {
            return Some(serde_json::from_slice(record).unwrap());
        }
        let event: v1::executor::Event = self.encoding.decode(record).unwrap();
        Some(json::to_value(&event))
    }

    /// The next event in short: its type, and what it is about.
    pub(crate) async fn short(&mut self) -> String {
        let Some(event) = self.next().await else { return "end".to_owned() };
        let id = |task: &Value| task["task_id"]["value"].as_str().unwrap().to_owned();
        match event["type"].as_str().unwrap() {
            "LAUNCH" => format!("LAUNCH {}", id(&event["launch"]["task"])),
            "LAUNCH_GROUP" => {
                let tasks = event["launch_group"]["task_group"]["tasks"].as_array().unwrap();
                format!("LAUNCH_GROUP {}", tasks.iter().map(id).collect::<Vec<_>>().join(" "))
            }
            "KILL" => format!("KILL {}", id(&event["kill"])),
            "ACKNOWLEDGED" => format!("ACKNOWLEDGED {}", id(&event["acknowledged"])),
            other => other.to_owned(),
        }
    }

    pub(crate) async fn expect(&mut self, events: &[&str]) {
        for expected in events {
            assert_eq!(self.short().await, *expected);
        }
    }
}
