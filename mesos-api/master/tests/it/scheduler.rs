//! A scheduler that speaks raw HTTP.

use std::collections::VecDeque;
use std::net::SocketAddr;

use base64::Engine as _;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use meseta_mesos_wire::v1::framework_info::Capability;
use meseta_mesos_wire::v1::framework_info::capability::Type as CapabilityType;
use meseta_mesos_wire::v1::scheduler::{Call, Event, call, event};
use meseta_mesos_wire::v1::{self, FrameworkId, FrameworkInfo};
use meseta_mesos_wire::{Encoding, recordio};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::cluster::DEADLINE;

/// The header that ties calls to a stream.
pub(crate) const STREAM_ID: &str = "mesos-stream-id";

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// A subscribed scheduler.
pub(crate) struct Scheduler {
    pub(crate) address: SocketAddr,
    pub(crate) encoding: Encoding,
    pub(crate) id: String,
    pub(crate) stream_id: String,
    /// `principal:secret`.
    pub(crate) credentials: Option<String>,
    pub(crate) stream: Stream,
}

/// The events of a stream.
pub(crate) struct Stream {
    body: Incoming,
    records: recordio::Decoder,
    encoding: Encoding,
    /// Events that somebody passed over while looking for another.
    passed: VecDeque<Event>,
}

/// A `FrameworkInfo` of a scheduler of today.
pub(crate) fn info(name: &str) -> FrameworkInfo {
    let capability = |kind: CapabilityType| Capability { r#type: Some(kind.into()) };
    FrameworkInfo {
        user: "root".to_owned(),
        name: name.to_owned(),
        roles: vec!["default".to_owned()],
        failover_timeout: Some(3600.0),
        capabilities: vec![
            capability(CapabilityType::MultiRole),
            capability(CapabilityType::PartitionAware),
            capability(CapabilityType::ReservationRefinement),
        ],
        ..FrameworkInfo::default()
    }
}

/// The call to subscribe, also under an id.
pub(crate) fn subscription(info: FrameworkInfo) -> Call {
    let subscribe = call::Subscribe { framework_info: info.clone(), ..Default::default() };
    Call {
        framework_id: info.id,
        r#type: Some(call::Type::Subscribe.into()),
        subscribe: Some(subscribe),
        ..Call::default()
    }
}

/// Sends a request with these headers and waits for the head of the answer.
pub(crate) async fn request(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> http::Response<Incoming> {
    let socket = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::post(path).header(HOST, address.to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from(body))).unwrap();
    tokio::time::timeout(DEADLINE, sender.send_request(request)).await.unwrap().unwrap()
}

/// Sends a request and reads the whole answer.
pub(crate) async fn post(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Answer {
    let response = request(address, path, headers, body).await;
    let (parts, body) = response.into_parts();
    let body = tokio::time::timeout(DEADLINE, body.collect()).await.unwrap().unwrap();
    let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}

/// Sends a request without a body as text, such as `GET /version`.
pub(crate) async fn raw(address: SocketAddr, line: &str) -> Answer {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let text = format!("{line} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    socket.write_all(text.as_bytes()).await.unwrap();
    let mut read = String::new();
    tokio::time::timeout(DEADLINE, socket.read_to_string(&mut read)).await.unwrap().unwrap();
    let (head, body) = read.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let mut headers = HeaderMap::new();
    for (name, value) in lines.map(|line| line.split_once(": ").unwrap()) {
        let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, value.parse().unwrap());
    }
    Answer { status, headers, body: body.to_owned() }
}

impl Scheduler {
    /// Subscribes and waits for SUBSCRIBED and the heartbeat after it.
    pub(crate) async fn subscribe(
        address: SocketAddr,
        encoding: Encoding,
        info: FrameworkInfo,
    ) -> Self {
        Self::subscribe_as(address, encoding, info, None).await
    }

    pub(crate) async fn subscribe_as(
        address: SocketAddr,
        encoding: Encoding,
        info: FrameworkInfo,
        credentials: Option<&str>,
    ) -> Self {
        let (stream_id, mut stream) =
            open(address, encoding, &subscription(info), credentials).await;
        let subscribed = stream.any().await.expect("the stream goes on");
        let subscribed = subscribed.subscribed.unwrap_or_else(|| panic!("{:?}", subscribed.error));
        assert_eq!(stream.any().await.unwrap().r#type(), event::Type::Heartbeat);
        let id = subscribed.framework_id.value;
        let credentials = credentials.map(str::to_owned);
        Self { address, encoding, id, stream_id, credentials, stream }
    }

    /// Subscribes again, as another instance of the same framework.
    pub(crate) async fn again(&self) -> Self {
        let mut info = info("again");
        info.id = Some(FrameworkId { value: self.id.clone() });
        let credentials = self.credentials.as_deref();
        Self::subscribe_as(self.address, self.encoding, info, credentials).await
    }

    /// Sends a call under the own id and stream; returns the status.
    pub(crate) async fn call(&self, kind: call::Type, call: Call) -> Answer {
        let call = Call {
            framework_id: Some(FrameworkId { value: self.id.clone() }),
            r#type: Some(kind.into()),
            ..call
        };
        let mut headers = vec![
            (CONTENT_TYPE.as_str(), self.encoding.content_type()),
            (STREAM_ID, self.stream_id.as_str()),
        ];
        let authorization = self.credentials.as_deref().map(basic);
        if let Some(authorization) = &authorization {
            headers.push((AUTHORIZATION.as_str(), authorization));
        }
        post(self.address, "/api/v1/scheduler", &headers, self.encoding.encode(&call)).await
    }

    /// Sends a call that is taken.
    pub(crate) async fn tell(&self, kind: call::Type, call: Call) {
        let answer = self.call(kind, call).await;
        assert_eq!((answer.status, answer.body.as_str()), (202, ""), "{kind:?}");
        assert_eq!(answer.header("content-length"), Some("0"));
        assert_eq!(answer.header("content-type"), None);
    }

    /// Waits for offers.
    pub(crate) async fn offers(&mut self) -> Vec<v1::Offer> {
        self.stream.next(event::Type::Offers).await.offers.unwrap().offers
    }

    /// Waits for one offer.
    pub(crate) async fn offer(&mut self) -> v1::Offer {
        let mut offers = self.offers().await;
        assert_eq!(offers.len(), 1, "{offers:?}");
        offers.remove(0)
    }

    /// Waits for an update of a task.
    pub(crate) async fn update(&mut self) -> v1::TaskStatus {
        self.stream.next(event::Type::Update).await.update.unwrap().status
    }

    /// Waits for an update of this state and acknowledges it.
    pub(crate) async fn acknowledge(&mut self, state: v1::TaskState) -> v1::TaskStatus {
        let status = self.update().await;
        assert_eq!(status.state(), state, "{status:?}");
        let acknowledge = call::Acknowledge {
            agent_id: status.agent_id.clone().unwrap(),
            task_id: status.task_id.clone(),
            uuid: status.uuid.clone().expect("it is to be acknowledged"),
        };
        let call = Call { acknowledge: Some(acknowledge), ..Call::default() };
        self.tell(call::Type::Acknowledge, call).await;
        status
    }
}

/// Opens a stream, whatever comes on it.
pub(crate) async fn open(
    address: SocketAddr,
    encoding: Encoding,
    call: &Call,
    credentials: Option<&str>,
) -> (String, Stream) {
    let mut headers = vec![
        (CONTENT_TYPE.as_str(), encoding.content_type()),
        (ACCEPT.as_str(), encoding.content_type()),
    ];
    let authorization = credentials.map(basic);
    if let Some(authorization) = &authorization {
        headers.push((AUTHORIZATION.as_str(), authorization));
    }
    let response = request(address, "/api/v1/scheduler", &headers, encoding.encode(call)).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()[CONTENT_TYPE], encoding.content_type());
    let stream_id = response.headers()[STREAM_ID].to_str().unwrap().to_owned();
    (stream_id, Stream::new(response.into_body(), encoding))
}

pub(crate) fn basic(pair: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
}

impl Stream {
    fn new(body: Incoming, encoding: Encoding) -> Self {
        let records = recordio::Decoder::new(64 << 20);
        Self { body, records, encoding, passed: VecDeque::new() }
    }

    /// The next event of any kind; `None` where the stream has ended.
    pub(crate) async fn any(&mut self) -> Option<Event> {
        if let Some(event) = self.passed.pop_front() {
            return Some(event);
        }
        self.read().await
    }

    async fn read(&mut self) -> Option<Event> {
        let read = async {
            loop {
                if let Some(record) = self.records.next_record().unwrap() {
                    return Some(self.encoding.decode(&record).unwrap());
                }
                let data = self.body.frame().await?.ok()?.into_data().unwrap();
                self.records.push(&data);
            }
        };
        tokio::time::timeout(DEADLINE, read).await.expect("nothing comes")
    }

    /// The next event of this kind; others are kept for later.
    pub(crate) async fn next(&mut self, kind: event::Type) -> Event {
        if let Some(at) = self.passed.iter().position(|event| event.r#type() == kind) {
            return self.passed.remove(at).unwrap();
        }
        loop {
            let event = self.read().await.unwrap_or_else(|| panic!("no {kind:?}, but the end"));
            if event.r#type() == kind {
                return event;
            }
            self.passed.push_back(event);
        }
    }

    /// Reads to the end and returns the message of the ERROR before it.
    pub(crate) async fn error(&mut self) -> Option<String> {
        let mut error = None;
        while let Some(event) = self.any().await {
            error = event.error.map(|error| error.message);
        }
        error
    }
}

/// A scalar resource.
pub(crate) fn scalar(name: &str, value: f64) -> v1::Resource {
    v1::Resource {
        name: name.to_owned(),
        r#type: v1::value::Type::Scalar.into(),
        scalar: Some(v1::value::Scalar { value }),
        ..v1::Resource::default()
    }
}

/// A command task of this id for an offer.
pub(crate) fn task(id: &str, offer: &v1::Offer, cpus: f64) -> v1::TaskInfo {
    v1::TaskInfo {
        name: id.to_owned(),
        task_id: v1::TaskId { value: id.to_owned() },
        agent_id: offer.agent_id.clone(),
        resources: vec![scalar("cpus", cpus), scalar("mem", 64.0)],
        command: Some(v1::CommandInfo { value: Some("sleep 1".to_owned()), ..Default::default() }),
        ..v1::TaskInfo::default()
    }
}

/// An ACCEPT that launches tasks on an offer, and wants the rest again at once.
pub(crate) fn launch(offers: &[v1::OfferId], tasks: Vec<v1::TaskInfo>) -> Call {
    let operation = v1::offer::Operation {
        r#type: Some(v1::offer::operation::Type::Launch.into()),
        launch: Some(v1::offer::operation::Launch { task_infos: tasks }),
        ..Default::default()
    };
    accept(offers, operation)
}

/// An ACCEPT of one operation.
pub(crate) fn accept(offers: &[v1::OfferId], operation: v1::offer::Operation) -> Call {
    let accept = call::Accept {
        offer_ids: offers.to_vec(),
        operations: vec![operation],
        filters: Some(v1::Filters { refuse_seconds: Some(0.0) }),
    };
    Call { accept: Some(accept), ..Call::default() }
}

impl Scheduler {
    /// Launches tasks on an offer.
    pub(crate) async fn launch(&self, offer: &v1::Offer, tasks: Vec<v1::TaskInfo>) {
        let call = launch(std::slice::from_ref(&offer.id), tasks);
        self.tell(call::Type::Accept, call).await;
    }

    /// Launches one task and acknowledges its way to TASK_RUNNING.
    pub(crate) async fn run(&mut self, id: &str) -> v1::Offer {
        let offer = self.offer().await;
        self.launch(&offer, vec![task(id, &offer, 0.5)]).await;
        self.acknowledge(v1::TaskState::TaskStarting).await;
        self.acknowledge(v1::TaskState::TaskRunning).await;
        offer
    }

    /// Asks for the end of a task.
    pub(crate) async fn kill(&self, id: &str) {
        let kill =
            call::Kill { task_id: v1::TaskId { value: id.to_owned() }, ..call::Kill::default() };
        self.tell(call::Type::Kill, Call { kill: Some(kill), ..Call::default() }).await;
    }

    /// Asks what is known of these tasks, or of all.
    pub(crate) async fn reconcile(&self, ids: &[&str]) {
        let tasks = ids.iter().map(|id| call::reconcile::Task {
            task_id: v1::TaskId { value: (*id).to_owned() },
            agent_id: None,
        });
        let reconcile = call::Reconcile { tasks: tasks.collect() };
        let call = Call { reconcile: Some(reconcile), ..Call::default() };
        self.tell(call::Type::Reconcile, call).await;
    }
}

/// A custom executor of this command.
pub(crate) fn executor(command: &str) -> v1::ExecutorInfo {
    v1::ExecutorInfo {
        executor_id: v1::ExecutorId { value: "e".to_owned() },
        command: Some(v1::CommandInfo {
            value: Some(command.to_owned()),
            ..v1::CommandInfo::default()
        }),
        resources: vec![scalar("cpus", 0.1), scalar("mem", 32.0)],
        ..v1::ExecutorInfo::default()
    }
}

/// A task that this executor runs.
pub(crate) fn inner(id: &str, offer: &v1::Offer, command: &str) -> v1::TaskInfo {
    v1::TaskInfo { command: None, executor: Some(executor(command)), ..task(id, offer, 0.5) }
}
