//! Messages between schedulers and executors, and what is told when executors and agents fail.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use bytes::Bytes;
use futures::StreamExt as _;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Incoming;
use kube::Api;
use kube::api::{Patch, PatchParams};
use meseta_crds::{Agent, TaskState};
use meseta_mesos_wire::v1::TaskState as State;
use meseta_mesos_wire::v1::scheduler::{Call, call, event};
use meseta_mesos_wire::{recordio, v1};
use meseta_serve::{Limits, agent_server_name, serve, server_config};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, eventually};
use crate::scheduler::inner;
use crate::scribe::tell;

const AGENT: &str = "sim-00000";

/// What an agent answers on its TLS endpoint.
#[derive(Clone, Default)]
struct Endpoint {
    /// What was posted, by path.
    posted: Arc<Mutex<BTreeMap<String, Bytes>>>,
    /// Into the stream of messages, once somebody listens.
    listener: Arc<Mutex<Option<mpsc::UnboundedSender<Bytes>>>>,
}

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

impl Endpoint {
    async fn start(cluster: &Cluster) -> Self {
        let endpoint = Self::default();
        let issued = cluster.ca.issue_server(&[agent_server_name(AGENT)]).unwrap();
        let pem = cluster.ca.certificate_pem();
        let tls = server_config(pem, &issued.certificate_pem, &issued.key_pem).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let service = tower::service_fn({
            let endpoint = endpoint.clone();
            move |request| endpoint.clone().answer(request)
        });
        let stop = CancellationToken::new();
        tokio::spawn(serve(listener, tls, Limits::default(), service, stop));
        let agents: Api<Agent> = Api::all(cluster.admin());
        let patch = json!({ "status": { "addresses": [address] } });
        agents.patch_status(AGENT, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
        endpoint
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Answer, Infallible> {
        let path = request.uri().path().to_owned();
        if path == "/v1/messages" {
            let (sender, receiver) = mpsc::unbounded_channel();
            *self.listener.lock().unwrap() = Some(sender);
            let records = futures::stream::unfold(receiver, |mut receiver| async move {
                Some((receiver.recv().await?, receiver))
            });
            let frames = records.map(|record| Ok(Frame::data(record)));
            return Ok(Response::new(UnsyncBoxBody::new(StreamBody::new(frames))));
        }
        let body = request.into_body().collect().await.unwrap().to_bytes();
        self.posted.lock().unwrap().insert(path, body);
        Ok(Response::new(Full::default().boxed_unsync()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_go_both_ways_and_the_end_of_the_executor_is_told() {
    let (cluster, plane, _agents) = Cluster::with_agent(4).await;
    let endpoint = Endpoint::start(&cluster).await;
    let mut scheduler = plane.scheduler("f").await;
    let offer = scheduler.offer().await;
    scheduler.launch(&offer, vec![inner("t", &offer, "run")]).await;
    scheduler.acknowledge(State::TaskStarting).await;
    let all = cluster.tasks().list(&Default::default()).await.unwrap();
    let executor = all.iter().find(|task| task.spec.executor.is_some()).unwrap().clone();
    let uid = executor.metadata.uid.clone().unwrap();

    let message = call::Message {
        agent_id: v1::AgentId { value: AGENT.to_owned() },
        executor_id: v1::ExecutorId { value: "e".to_owned() },
        data: vec![0, 1, 255],
    };
    let call = Call { message: Some(message), ..Call::default() };
    scheduler.tell(call::Type::Message, call).await;
    let path = format!("/v1/executors/{uid}/message");
    let posted = eventually("it is handed over", || async {
        endpoint.posted.lock().unwrap().get(&path).cloned()
    })
    .await;
    assert_eq!(posted[..], [0, 1, 255]);

    let listener =
        eventually("somebody listens", || async { endpoint.listener.lock().unwrap().clone() })
            .await;
    let data = base64::engine::general_purpose::STANDARD.encode([7, 0, 9]);
    let unknown = json!({ "executor": "of nobody", "data": data });
    let known = json!({ "executor": uid, "data": data });
    for record in [unknown, json!("no message"), known] {
        let record = recordio::frame(record.to_string().as_bytes());
        listener.send(Bytes::from(record)).unwrap();
    }
    let message = scheduler.stream.next(event::Type::Message).await.message.unwrap();
    assert_eq!(message.agent_id.value, AGENT);
    assert_eq!((message.executor_id.value.as_str(), &message.data[..]), ("e", &[7, 0, 9][..]));

    let name = executor.metadata.name.unwrap();
    tell(&cluster.tasks(), &name, TaskState::Failed, &[]).await;
    let failure = scheduler.stream.next(event::Type::Failure).await.failure.unwrap();
    assert_eq!(failure.agent_id.unwrap().value, AGENT);
    assert_eq!(failure.executor_id.unwrap().value, "e");
    eventually("its record is let go of", || async {
        let task = cluster.tasks().get(&name).await.unwrap();
        task.metadata.finalizers.unwrap_or_default().is_empty().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_call_becomes_a_wish_in_the_executors_record() {
    let (cluster, plane, _agents) = Cluster::with_agent(4).await;
    let mut scheduler = plane.scheduler("f").await;
    let offer = scheduler.offer().await;
    scheduler.launch(&offer, vec![inner("t", &offer, "run")]).await;
    scheduler.acknowledge(State::TaskStarting).await;
    let shutdown = |agent: &str| call::Shutdown {
        agent_id: v1::AgentId { value: agent.to_owned() },
        executor_id: v1::ExecutorId { value: "e".to_owned() },
    };
    for agent in ["nowhere", AGENT] {
        let call = Call { shutdown: Some(shutdown(agent)), ..Call::default() };
        scheduler.tell(call::Type::Shutdown, call).await;
    }
    eventually("it is to end", || async {
        let all = cluster.tasks().list(&Default::default()).await.unwrap();
        let killed = all.iter().filter(|task| task.spec.kill.is_some()).collect::<Vec<_>>();
        assert!(killed.iter().all(|task| task.spec.executor.is_some()));
        (killed.len() == 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_is_told_of_an_agent_that_is_gone() {
    let (cluster, plane, agents) = Cluster::with_agent(4).await;
    let mut one = plane.scheduler("one").await;
    let mut other = plane.scheduler("other").await;
    let offer = one.offer().await;
    drop(agents);
    let records: Api<Agent> = Api::all(cluster.admin());
    records.delete(AGENT, &Default::default()).await.unwrap();
    let rescinded = one.stream.next(event::Type::Rescind).await.rescind.unwrap();
    assert_eq!(rescinded.offer_id, offer.id);
    for scheduler in [&mut one, &mut other] {
        let failure = scheduler.stream.next(event::Type::Failure).await.failure.unwrap();
        assert_eq!(failure.agent_id.unwrap().value, AGENT);
        assert_eq!(failure.executor_id, None);
    }
}
