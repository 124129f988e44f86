//! A scheduler that speaks the Mesos HTTP API itself, in JSON, and notes when each event came.
//!
//! For benchmarks, and for what pymesos does not reach: nothing is between the socket and the caller.
//!
//! ```text
//!   caller ── call, accept, acknowledge ──► one kept connection ──► 202
//!     sink ◄── Event{at, body} ◄── thread ◄── records ◄── chunks ◄── the stream of SUBSCRIBE
//! ```
//!
//! **Invariants:** [`Event::at`] is taken when the last byte of the record was read, before it is
//! parsed. What a server sends is read up to named limits.

#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::net::{Shutdown, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::wait::await_condition;

/// Where calls go.
const PATH: &str = "/api/v1/scheduler";
/// How long a control plane that has just started may take to lead.
const LEADER_DEADLINE: Duration = Duration::from_secs(60);
/// Longest silence: four times the interval of heartbeats.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest line of a head, of a chunk's size or of a record's length.
const MAX_LINE_BYTES: u64 = 16 * 1024;
/// Most lines of a head.
const MAX_HEAD_LINES: usize = 100;
/// Longest record, and longest body of an answer.
const MAX_RECORD_BYTES: usize = 64 * 1024 * 1024;

/// One event of the stream.
#[derive(Clone, Debug)]
pub struct Event {
    /// When its last byte was read.
    pub at: Instant,
    /// The event.
    pub body: Value,
}

impl Event {
    /// `OFFERS`, `UPDATE`, ….
    #[must_use]
    pub fn kind(&self) -> &str {
        self.body["type"].as_str().unwrap_or_default()
    }
}

/// A subscribed scheduler; dropping it cuts its connections, as a crash would.
pub struct HttpScheduler {
    /// The id it was given.
    pub framework_id: String,
    stream_id: String,
    calls: Connection,
    /// The stream's socket, to end the reader.
    stream: TcpStream,
    reader: Option<JoinHandle<()>>,
}

impl fmt::Debug for HttpScheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpScheduler").field("framework_id", &self.framework_id).finish()
    }
}

impl HttpScheduler {
    /// Subscribes at `master` (`host:port`) as soon as it leads. Events after SUBSCRIBED go to
    /// `sink`, which runs on a thread of its own and must return when the receiver is gone; it is
    /// not told that the stream has ended.
    ///
    /// # Errors
    /// It is not subscribed in time.
    pub fn subscribe(
        master: &str,
        framework: &Value,
        mut sink: impl FnMut(Event) + Send + 'static,
    ) -> Result<Self> {
        let call = json!({"type": "SUBSCRIBE", "subscribe": {"framework_info": framework}});
        let (stream, head) = await_condition("subscription", LEADER_DEADLINE, || {
            let answer = Connection::new(master).and_then(|mut connection| {
                connection.post(&[], &call)?;
                let head = Head::read(&mut connection.socket)?;
                Ok((connection, head))
            });
            match answer {
                Ok((connection, head)) if head.code == 200 => Ok((connection, head)),
                Ok((_, head)) => Err(format!("{}", head.code)),
                Err(error) => Err(format!("{error:#}")),
            }
        })?;
        let stream_id = head.get("mesos-stream-id").context("no Mesos-Stream-Id")?.to_owned();
        let socket = stream.socket.get_ref().try_clone()?;
        let mut records = BufReader::new(Chunks { inner: stream.socket, left: 0 });
        let first = next_event(&mut records)?.context("the stream ended at once")?;
        ensure!(first.kind() == "SUBSCRIBED", "the first event is {}", first.body);
        let framework_id = first.body["subscribed"]["framework_id"]["value"].as_str();
        let framework_id = framework_id.context("no framework id")?.to_owned();
        let reader = thread::spawn(move || {
            while let Ok(Some(event)) = next_event(&mut records) {
                sink(event);
            }
        });
        let calls = Connection::new(master)?;
        Ok(Self { framework_id, stream_id, calls, stream: socket, reader: Some(reader) })
    }

    /// Makes a call of this type with this body, and waits for its 202.
    ///
    /// # Errors
    /// Another answer; the message has it.
    pub fn call(&mut self, kind: &str, body: &Value) -> Result<()> {
        let call = json!({
            "type": kind,
            "framework_id": {"value": self.framework_id},
            (kind.to_ascii_lowercase()): body,
        });
        self.calls.post(&[("Mesos-Stream-Id", &self.stream_id)], &call)?;
        let (code, said) = self.calls.answer()?;
        ensure!(code == 202, "{kind}: {code} {}", String::from_utf8_lossy(&said));
        Ok(())
    }

    /// Launches tasks on offers of one agent; what they leave is refused for so many seconds.
    ///
    /// # Errors
    /// The call is refused.
    pub fn accept(&mut self, offers: &[Value], tasks: &[Value], refuse_seconds: f64) -> Result<()> {
        let ids: Vec<&Value> = offers.iter().map(|offer| &offer["id"]).collect();
        let body = json!({
            "offer_ids": ids,
            "operations": [{"type": "LAUNCH", "launch": {"task_infos": tasks}}],
            "filters": {"refuse_seconds": refuse_seconds},
        });
        self.call("ACCEPT", &body)
    }

    /// Acknowledges a `TaskStatus`, if it is one that wants it.
    ///
    /// # Errors
    /// The call is refused.
    pub fn acknowledge(&mut self, status: &Value) -> Result<()> {
        if status["uuid"].is_null() {
            return Ok(());
        }
        let body = json!({
            "agent_id": status["agent_id"], "task_id": status["task_id"], "uuid": status["uuid"],
        });
        self.call("ACKNOWLEDGE", &body)
    }
}

impl Drop for HttpScheduler {
    fn drop(&mut self) {
        // Fails only where the other side was faster.
        drop(self.stream.shutdown(Shutdown::Both));
        if let Some(reader) = self.reader.take() {
            drop(reader.join());
        }
    }
}

/// Thousandths of cores that some offers hold together.
#[must_use]
pub fn cpu_millis<'a>(offers: impl IntoIterator<Item = &'a Value>) -> u64 {
    let resources = offers.into_iter().filter_map(|offer| offer["resources"].as_array()).flatten();
    let cpus = resources.filter(|resource| resource["name"] == "cpus");
    let cores = cpus.filter_map(|resource| resource["scalar"]["value"].as_f64());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "Mesos rounds so")]
    let millis = |cores: f64| (cores * 1000.0).round() as u64;
    cores.map(millis).sum()
}

/// A connection that is kept between requests.
struct Connection {
    host: String,
    socket: BufReader<TcpStream>,
}

impl Connection {
    fn new(host: &str) -> Result<Self> {
        let socket = TcpStream::connect(host)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(READ_TIMEOUT))?;
        Ok(Self { host: host.to_owned(), socket: BufReader::new(socket) })
    }

    fn post(&mut self, headers: &[(&str, &str)], body: &Value) -> Result<()> {
        let body = body.to_string();
        let mut request = format!(
            "POST {PATH} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Accept: application/json\r\nContent-Length: {}\r\n",
            self.host,
            body.len()
        );
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        request.push_str(&body);
        // One write, so that it is not more packets than needed.
        Ok(self.socket.get_mut().write_all(request.as_bytes())?)
    }

    fn answer(&mut self) -> Result<(u16, Vec<u8>)> {
        let head = Head::read(&mut self.socket)?;
        let length = head.get("content-length").context("an answer without a length")?.parse()?;
        Ok((head.code, read_bytes(&mut self.socket, length)?))
    }
}

/// Status and headers of an answer, names in lower case.
struct Head {
    code: u16,
    headers: Vec<(String, String)>,
}

impl Head {
    fn read(socket: &mut impl BufRead) -> Result<Self> {
        let status = read_line(socket)?.context("the connection ended")?;
        let code = status.split(' ').nth(1).context("no status")?.parse()?;
        let mut headers = Vec::new();
        for _ in 0..MAX_HEAD_LINES {
            let line = read_line(socket)?.context("the connection ended in a head")?;
            if line.is_empty() {
                return Ok(Self { code, headers });
            }
            let (name, value) = line.split_once(':').context("a header without a colon")?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        bail!("more than {MAX_HEAD_LINES} headers")
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// What a chunked body holds.
struct Chunks<R> {
    inner: R,
    /// Bytes of this chunk that are to come.
    left: usize,
}

impl<R: BufRead> Read for Chunks<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            let line = read_line(&mut self.inner)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            self.left = usize::from_str_radix(digits, 16).map_err(io::Error::other)?;
            if self.left == 0 {
                return Ok(0);
            }
        }
        let most = buffer.len().min(self.left);
        let count = self.inner.read(buffer.get_mut(..most).unwrap_or_default())?;
        self.left -= count;
        if self.left == 0 {
            read_line(&mut self.inner)?;
        }
        Ok(count)
    }
}

fn next_event(records: &mut impl BufRead) -> Result<Option<Event>> {
    let Some(length) = read_line(records)? else { return Ok(None) };
    let bytes = read_bytes(records, length.parse().context("a record without a length")?)?;
    let at = Instant::now();
    Ok(Some(Event { at, body: serde_json::from_slice(&bytes)? }))
}

fn read_bytes(from: &mut impl Read, length: usize) -> Result<Vec<u8>> {
    ensure!(length <= MAX_RECORD_BYTES, "{length} bytes are too many");
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A line without its end; `None` at the end of all.
fn read_line(from: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    if from.by_ref().take(MAX_LINE_BYTES).read_line(&mut line)? == 0 {
        return Ok(None);
    }
    if !line.ends_with('\n') {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(Some(line.trim_end_matches(['\r', '\n']).to_owned()))
}
