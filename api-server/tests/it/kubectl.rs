//! The real kubectl, over TLS.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use meseta_pki::{ADMIN_GROUP, CertificateAuthority};
use meseta_serve::{Limits, serve, server_config};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::world::{World, task};

/// How long one command may take, discovery on a busy machine included.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server behind TLS, and a kubectl that knows it.
pub(crate) struct Cluster {
    world: World,
    directory: TempDir,
    _stop: DropGuard,
}

impl Cluster {
    async fn new() -> Self {
        Self::of(World::new().await).await
    }

    pub(crate) async fn of(world: World) -> Self {
        meseta_serve::install_crypto_provider();
        let authority = meseta_api_server::authority(&*world.store, None).await.unwrap();
        let issued = authority.issue_server(&["127.0.0.1".to_owned()]).unwrap();
        let ca = authority.certificate_pem();
        let tls = server_config(ca, &issued.certificate_pem, &issued.key_pem).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(serve(listener, tls, Limits::default(), world.api.clone(), stop.clone()));
        let directory = TempDir::new().unwrap();
        let kubeconfig = kubeconfig(&authority, &format!("https://{address}"));
        std::fs::write(directory.path().join("kubeconfig"), kubeconfig.to_string()).unwrap();
        Self { world, directory, _stop: stop.drop_guard() }
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(kubectl());
        command
            .args(arguments.split_whitespace())
            .env("KUBECONFIG", self.directory.path().join("kubeconfig"))
            .env("HOME", self.directory.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs a command to its end, with `input` as its standard input.
    async fn run(&self, arguments: &str, input: &str) -> Output {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
        let ended = tokio::time::timeout(PATIENCE, child.wait_with_output());
        ended.await.unwrap_or_else(|_| panic!("kubectl {arguments} did not end")).unwrap()
    }

    /// What a command that must succeed prints.
    pub(crate) async fn ok(&self, arguments: &str) -> String {
        self.ok_with(arguments, "").await
    }

    async fn ok_with(&self, arguments: &str, input: &str) -> String {
        let output = self.run(arguments, input).await;
        let (out, error) = texts(&output);
        assert!(output.status.success(), "kubectl {arguments}:\n{out}{error}");
        out
    }

    /// What a command that must fail says.
    pub(crate) async fn fails(&self, arguments: &str, input: &str) -> String {
        let output = self.run(arguments, input).await;
        let (out, error) = texts(&output);
        assert!(!output.status.success(), "kubectl {arguments} did not fail:\n{out}{error}");
        error
    }

    /// Starts a command whose lines are read as they come.
    pub(crate) fn follow(&self, arguments: &str) -> Lines {
        let mut child = self.command(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Lines { _child: child, lines }
    }
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

pub(crate) struct Lines {
    _child: Child,
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
}

impl Lines {
    /// The words of the next line.
    pub(crate) async fn next(&mut self) -> Vec<String> {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await;
        let line = line.expect("no line came").unwrap().expect("the command ended");
        line.split_whitespace().map(str::to_owned).collect()
    }
}

/// The pinned kubectl, fetched once where the machine does not have it.
fn kubectl() -> &'static Path {
    static KUBECTL: OnceLock<PathBuf> = OnceLock::new();
    KUBECTL.get_or_init(|| {
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/tools");
        let output = std::process::Command::new(tools).output().unwrap();
        let (folder, error) = texts(&output);
        assert!(output.status.success(), "{error}");
        Path::new(folder.trim()).join("kubectl")
    })
}

fn kubeconfig(authority: &CertificateAuthority, server: &str) -> Value {
    use base64::Engine as _;
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let admin = authority.issue_client("admin", &[ADMIN_GROUP.to_owned()]).unwrap();
    let cluster = json!({
        "server": server,
        "certificate-authority-data": encode(authority.certificate_pem()),
    });
    let user = json!({
        "client-certificate-data": encode(&admin.certificate_pem),
        "client-key-data": encode(&admin.key_pem),
    });
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "t",
        "clusters": [{"name": "t", "cluster": cluster}],
        "users": [{"name": "t", "user": user}],
        "contexts": [{"name": "t", "context": {"cluster": "t", "user": "t"}}],
    })
}

fn yaml(name: &str, patch: &Value) -> String {
    serde_yaml::to_string(&task(name, patch)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn apply_creates_changes_and_leaves_alone() {
    let cluster = Cluster::new().await;
    let first = yaml("a", &json!({}));
    let applied = cluster.ok_with("apply -f -", &first).await;
    assert_eq!(applied, "task.meseta.dev/a created\n");
    assert_eq!(cluster.ok_with("apply -f -", &first).await, "task.meseta.dev/a unchanged\n");
    let changed = yaml("a", &json!({"spec": {"priority": 7}}));
    let diff = cluster.run("diff -f -", &changed).await;
    assert!(texts(&diff).0.contains("priority: 7"), "{:?}", texts(&diff));
    assert_eq!(cluster.ok_with("apply -f -", &changed).await, "task.meseta.dev/a configured\n");
    assert_eq!(cluster.ok("get task a -o jsonpath={.spec.priority}").await, "7");
    let dry = cluster.ok_with("apply --dry-run=server -f -", &yaml("b", &json!({}))).await;
    assert_eq!(dry, "task.meseta.dev/b created (server dry run)\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn get_prints_what_is_there_in_every_form() {
    let cluster = Cluster::new().await;
    cluster.world.create("a", json!({"metadata": {"labels": {"x": "1"}}})).await;
    cluster.world.create("b", json!({"spec": {"agentName": "n1"}})).await;
    let table = cluster.ok("get tasks").await;
    assert!(table.starts_with("NAME   STATE   AGENT   EXIT   REASON   AGE\n"), "{table}");
    assert!(cluster.ok("get tsk -A -o wide").await.contains("MESSAGE"));
    assert_eq!(cluster.ok("get tasks -l x=1 -o name").await, "task.meseta.dev/a\n");
    let placed = cluster.ok("get tasks --field-selector spec.agentName=n1 -o name").await;
    assert_eq!(placed, "task.meseta.dev/b\n");
    let json: Value = serde_json::from_str(&cluster.ok("get task a -o json").await).unwrap();
    assert_eq!(json["metadata"]["name"], "a");
    assert!(cluster.ok("get task a -o yaml").await.contains("kind: Task"));
    assert!(cluster.ok("get meseta").await.contains("task.meseta.dev/a"));
    assert!(cluster.ok("get namespaces").await.contains("meseta-system   Active"));
    let described = cluster.ok("describe task a").await;
    assert!(described.contains("Command:"), "{described}");
    let error = cluster.fails("get task nope", "").await;
    assert_eq!(error, "Error from server (NotFound): tasks.meseta.dev \"nope\" not found\n");
    assert!(cluster.fails("get pods", "").await.contains("doesn't have a resource type"));
}

#[tokio::test(flavor = "multi_thread")]
async fn create_replace_patch_label_annotate_and_delete_work() {
    let cluster = Cluster::new().await;
    let created = cluster.ok_with("create -f -", &yaml("a", &json!({}))).await;
    assert_eq!(created, "task.meseta.dev/a created\n");
    cluster.ok_with("replace -f -", &yaml("a", &json!({"spec": {"priority": 2}}))).await;
    cluster.ok("patch task a --type=merge -p {\"spec\":{\"priority\":3}}").await;
    let json_patch = r#"[{"op":"replace","path":"/spec/priority","value":4}]"#;
    cluster.ok(&format!("patch task a --type=json -p {json_patch}")).await;
    cluster.ok("patch task a --subresource=status --type=merge -p {\"status\":{\"state\":\"Running\"}}").await;
    cluster.ok("label task a x=1").await;
    cluster.ok("annotate task a note=text").await;
    let paths = "{.spec.priority}{.status.state}{.metadata.labels.x}{.metadata.annotations.note}";
    let got = cluster.ok(&format!("get task a -o jsonpath={paths}")).await;
    assert_eq!(got, "4Running1text");
    cluster.ok("label namespace default team=a").await;
    let strategic = cluster.fails("patch task a -p {\"spec\":{\"priority\":5}}", "").await;
    assert!(
        strategic.contains("application/strategic-merge-patch+json is not supported"),
        "{strategic}"
    );
    let deleted = cluster.ok("delete task a").await;
    assert!(deleted.starts_with("task.meseta.dev \"a\" deleted"), "{deleted}");
    cluster.world.create("b", json!({})).await;
    cluster.world.create("c", json!({})).await;
    cluster.ok("delete tasks --all").await;
    assert_eq!(cluster.ok("get tasks -o name").await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn built_in_kinds_are_applied_and_changed() {
    let cluster = Cluster::new().await;
    let map = |value: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\ndata: {{a: \"{value}\"}}\n"
        )
    };
    cluster.ok_with("apply -f -", &map("1")).await;
    assert_eq!(cluster.ok_with("apply -f -", &map("2")).await, "configmap/c configured\n");
    assert_eq!(cluster.ok("get configmap c -o jsonpath={.data.a}").await, "2");
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: team}\n";
    cluster.ok_with("apply -f -", namespace).await;
    cluster.ok_with("-n team apply -f -", &yaml("a", &json!({}))).await;
    cluster.ok("delete namespace team").await;
    assert!(cluster.fails("get namespace team", "").await.contains("not found"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_faulty_record_is_refused_with_its_fields() {
    let cluster = Cluster::new().await;
    let typo = yaml("a", &json!({"spec": {"priorty": 3}}));
    let error = cluster.fails("apply -f -", &typo).await;
    assert!(error.contains("unknown field \"spec.priorty\""), "{error}");
    let wrong = yaml("a", &json!({"spec": {"priority": "high"}}));
    let error = cluster.fails("create -f -", &wrong).await;
    assert!(error.contains("spec.priority: Invalid value: \"string\""), "{error}");
    let empty = yaml("a", &json!({"spec": {"containers": null}}));
    let error = cluster.fails("apply -f -", &empty).await;
    assert!(error.contains("spec.containers: Required value"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_sees_conditions_values_and_the_end() {
    let cluster = Cluster::new().await;
    cluster.world.create("a", json!({"metadata": {"finalizers": ["x.io/hold"]}})).await;
    let status = "/apis/meseta.dev/v1alpha1/namespaces/default/tasks/a";
    let ready = json!({"status": {"state": "Running", "conditions": [{
        "type": "Ready", "status": "True", "reason": "Runs", "message": "",
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    }]}});
    let mut waits = cluster.follow("wait task a --for=condition=Ready --timeout=60s");
    cluster.world.merge(&format!("{status}/status"), &ready).await.ok();
    assert_eq!(waits.next().await, ["task.meseta.dev/a", "condition", "met"]);
    cluster.ok("wait task a --for=jsonpath={.status.state}=Running --timeout=60s").await;
    let mut deletes = cluster.follow("delete task a --timeout=60s");
    assert_eq!(deletes.next().await[0], "task.meseta.dev");
    cluster.world.merge(status, &json!({"metadata": {"finalizers": null}})).await.ok();
    cluster.ok("wait task a --for=delete --timeout=60s").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn get_watch_prints_changes_as_they_come() {
    let cluster = Cluster::new().await;
    cluster.world.create("a", json!({})).await;
    let mut lines = cluster.follow("get tasks -w");
    assert_eq!(lines.next().await[0], "NAME");
    assert_eq!(lines.next().await[0], "a");
    let path = "/apis/meseta.dev/v1alpha1/namespaces/default/tasks/a";
    let placed = json!({"spec": {"agentName": "n1"}});
    cluster.world.merge(path, &placed).await.ok();
    let line = lines.next().await;
    assert!(line[0] == "a" && line.contains(&"n1".to_owned()), "{line:?}");
    cluster.world.create("b", json!({})).await;
    assert_eq!(lines.next().await[0], "b");
    let mut named = cluster.follow("get task a -w -o name");
    assert_eq!(named.next().await, ["task.meseta.dev/a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_explains_itself() {
    let cluster = Cluster::new().await;
    let resources = cluster.ok("api-resources --no-headers").await;
    for name in ["tasks", "frameworks", "agents", "frameworkroles", "configmaps", "leases"] {
        let found = resources.lines().any(|line| line.split_whitespace().next() == Some(name));
        assert!(found, "{name} in\n{resources}");
    }
    let explained = cluster.ok("explain task.spec.containers").await;
    assert!(explained.contains("command") && explained.contains("FIELDS:"), "{explained}");
    assert!(cluster.ok("api-versions").await.contains("meseta.dev/v1alpha1\n"));
    assert!(cluster.ok("version").await.contains("Server Version: v1."));
    assert_eq!(cluster.ok("get --raw /readyz").await, "ok");
}
