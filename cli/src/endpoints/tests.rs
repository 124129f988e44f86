use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::StreamBody;
use hyper::body::Incoming;
use kube::config::{KubeConfigOptions, Kubeconfig};
use meseta_pki::CertificateAuthority;
use meseta_serve::{Limits, serve, server_config};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;

/// What a test waits for at most.
const PATIENCE: Duration = Duration::from_secs(20);

/// A control plane that counts what it is asked. `/watch` sends one line and then nothing;
/// `/silent` is never answered.
struct ControlPlane {
    url: String,
    asked: Arc<AtomicUsize>,
    running: JoinHandle<()>,
}

impl ControlPlane {
    async fn start(ca: &CertificateAuthority) -> Self {
        let issued = ca.issue_server(&["127.0.0.1".to_owned()]).unwrap();
        let tls =
            server_config(ca.certificate_pem(), &issued.certificate_pem, &issued.key_pem).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let service = tower::service_fn({
            let asked = Arc::clone(&asked);
            move |request: Request<Incoming>| {
                asked.fetch_add(1, Ordering::SeqCst);
                async move {
                    if request.uri().path() == "/silent" {
                        futures::future::pending::<()>().await;
                    }
                    let line = Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"line\n")));
                    let first = futures::stream::iter([line]);
                    let watch = request.uri().path() == "/watch";
                    let rest: futures::stream::BoxStream<'static, _> = if watch {
                        Box::pin(futures::stream::pending())
                    } else {
                        Box::pin(futures::stream::empty())
                    };
                    let body = futures::StreamExt::chain(first, rest);
                    Ok::<_, Infallible>(Response::new(StreamBody::new(body)))
                }
            }
        });
        let running = tokio::spawn(serve(
            listener,
            tls,
            Limits::default(),
            service,
            CancellationToken::new(),
        ));
        Self { url, asked, running }
    }

    async fn kill(&mut self) {
        self.running.abort();
        drop((&mut self.running).await);
    }
}

async fn endpoints(ca: &CertificateAuthority, planes: &[&ControlPlane]) -> Endpoints {
    meseta_serve::install_crypto_provider();
    let issued = ca.issue_client("a", &[]).unwrap();
    let text = crate::kubeconfig::text(&planes[0].url, ca.certificate_pem(), "a", &issued);
    let file: Kubeconfig = serde_yaml::from_str(&text).unwrap();
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(file, &options).await.unwrap();
    let servers: Vec<String> = planes.iter().map(|plane| plane.url.clone()).collect();
    let clients: Vec<Client> = servers
        .iter()
        .map(|server| {
            let mut config = config.clone();
            config.cluster_url = server.parse().unwrap();
            config.default_retry = false;
            Client::try_from(config).unwrap()
        })
        .collect();
    let state = State { current: 0, in_use: CancellationToken::new() };
    Endpoints {
        servers: servers.into(),
        clients: clients.into(),
        state: Arc::new(Mutex::new(state)),
        answer_timeout: Duration::from_millis(300),
    }
}

async fn ask(
    endpoints: &Endpoints,
    method: Method,
    path: &str,
) -> Result<Response<UntilGivenUp>, BoxError> {
    let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    tokio::time::timeout(PATIENCE, endpoints.clone().send(request)).await.unwrap()
}

#[tokio::test]
async fn reads_and_writes_go_on_when_a_control_plane_is_killed() {
    let ca = CertificateAuthority::generate().unwrap();
    let (mut one, two) = (ControlPlane::start(&ca).await, ControlPlane::start(&ca).await);
    let endpoints = endpoints(&ca, &[&one, &two]).await;
    ask(&endpoints, Method::GET, "/x").await.unwrap();
    assert_eq!(two.asked.load(Ordering::SeqCst), 0, "the second is asked only in need");
    one.kill().await;
    ask(&endpoints, Method::GET, "/x").await.unwrap();
    ask(&endpoints, Method::POST, "/x").await.unwrap();
    assert_eq!(two.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_write_that_found_no_connection_is_sent_to_the_next() {
    let ca = CertificateAuthority::generate().unwrap();
    let (mut one, two) = (ControlPlane::start(&ca).await, ControlPlane::start(&ca).await);
    one.kill().await;
    ask(&endpoints(&ca, &[&one, &two]).await, Method::POST, "/x").await.unwrap();
    assert_eq!(two.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_write_that_may_have_arrived_is_not_sent_again() {
    let ca = CertificateAuthority::generate().unwrap();
    let (one, two) = (ControlPlane::start(&ca).await, ControlPlane::start(&ca).await);
    let endpoints = endpoints(&ca, &[&one, &two]).await;
    let error = ask(&endpoints, Method::POST, "/silent").await.err().unwrap();
    assert!(error.to_string().contains("did not answer"), "{error}");
    assert_eq!(one.asked.load(Ordering::SeqCst), 1);
    assert_eq!(two.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn watches_of_a_control_plane_that_hangs_are_ended() {
    let ca = CertificateAuthority::generate().unwrap();
    let (one, two) = (ControlPlane::start(&ca).await, ControlPlane::start(&ca).await);
    let endpoints = endpoints(&ca, &[&one, &two]).await;
    let mut watch = ask(&endpoints, Method::GET, "/watch").await.unwrap().into_body();
    let first = watch.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "line\n");
    ask(&endpoints, Method::GET, "/silent").await.err().unwrap();
    let ended = tokio::time::timeout(PATIENCE, watch.frame()).await.unwrap().unwrap();
    assert!(ended.err().unwrap().to_string().contains("given up"));
}

#[tokio::test]
async fn with_no_control_plane_left_the_error_says_so() {
    let ca = CertificateAuthority::generate().unwrap();
    let (mut one, mut two) = (ControlPlane::start(&ca).await, ControlPlane::start(&ca).await);
    let endpoints = endpoints(&ca, &[&one, &two]).await;
    one.kill().await;
    two.kill().await;
    let error = ask(&endpoints, Method::GET, "/x").await.err().unwrap();
    assert!(never_connected(&*error), "{error:?}");
}
