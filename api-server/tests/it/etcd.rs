//! Several servers over one real etcd.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use meseta_store::Error;
use meseta_store::etcd::{EtcdStore, Options};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::world::{TASKS, World, version};

/// How long etcd may take to answer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server of its own, with a directory that ends with it.
struct Etcd {
    process: Child,
    endpoint: String,
    _directory: TempDir,
}

impl Etcd {
    fn start() -> Self {
        // Both are held until both are found, so they differ.
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [endpoint, peer] = listeners
            .each_ref()
            .map(|listener| format!("http://{}", listener.local_addr().unwrap()));
        drop(listeners);
        let directory = TempDir::new().unwrap();
        let process = Command::new(etcd_bin_vendored::etcd_bin_path().unwrap())
            .args(["--name", "alone", "--unsafe-no-fsync", "--data-dir"])
            .arg(directory.path())
            .args(["--listen-client-urls", &endpoint, "--advertise-client-urls", &endpoint])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("alone={peer}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, endpoint, _directory: directory }
    }

    /// A server over a connection of its own.
    async fn world(&self) -> World {
        let options = Options {
            endpoints: vec![self.endpoint.clone()],
            prefix: "/meseta".to_owned(),
            tls: None,
        };
        let connecting = async {
            loop {
                match EtcdStore::connect(options.clone()).await {
                    Ok(store) => return store,
                    Err(Error::Unavailable(_)) => {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                    Err(other) => panic!("{other:?}"),
                }
            }
        };
        let store = tokio::time::timeout(PATIENCE, connecting).await.expect("etcd does not answer");
        World::over(Arc::new(store)).await
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _gone = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_server_acknowledges_every_server_shows() {
    let etcd = Etcd::start();
    let (one, two) = (etcd.world().await, etcd.world().await);
    let mut events = two.watch(&format!("{TASKS}?watch=1")).await;
    for n in 0..30 {
        let name = format!("a{n:02}");
        let created = one.create(&name, json!({})).await;
        assert_eq!(two.get(&format!("{TASKS}/{name}")).await.ok(), created);
        assert_eq!(two.get(TASKS).await.ok()["items"].as_array().unwrap().len(), n + 1);
        // A kind that does not change must be shown as of now as well.
        two.get("/api/v1/namespaces/default/configmaps").await.ok();
        assert_eq!(events.brief().await, format!("ADDED {name}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_on_two_servers_never_lose_each_other() {
    let etcd = Etcd::start();
    let worlds = [etcd.world().await, etcd.world().await];
    worlds[0].create("a", json!({})).await;
    let path = format!("{TASKS}/a");
    let writers = (0..20).map(|n| {
        let (world, path) = (&worlds[n % 2], &path);
        let patch = json!({"metadata": {"labels": {format!("l{n}"): "1"}}});
        async move { world.merge(path, &patch).await.ok() }
    });
    futures::future::join_all(writers).await;
    let task = worlds[0].get(&path).await.ok();
    assert_eq!(task["metadata"]["labels"].as_object().unwrap().len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_share_a_revision_have_versions_of_their_own() {
    let etcd = Etcd::start();
    let world = etcd.world().await;
    let start = version(&world.get(TASKS).await.ok()).to_owned();
    let names: Vec<String> = (0..200).map(|n| format!("t{n:03}")).collect();
    let creates = names.iter().map(|name| world.create(name, json!({})));
    let created = futures::future::join_all(creates).await;
    let mut versions: Vec<u64> =
        created.iter().map(|task| version(task).parse().unwrap()).collect();
    versions.sort_unstable();
    versions.dedup();
    assert_eq!(versions.len(), 200);
    // A watch resumed at each of them gives exactly what is after it.
    for (index, at) in versions.iter().enumerate().step_by(37) {
        let query = format!("watch=1&resourceVersion={at}");
        let mut events = world.watch(&format!("{TASKS}?{query}")).await;
        for expected in &versions[index + 1..] {
            let event = events.next().await.unwrap();
            assert_eq!(version(&event["object"]), expected.to_string());
        }
    }
    let exact = format!("{TASKS}?resourceVersion={start}&resourceVersionMatch=Exact");
    assert_eq!(world.get(&exact).await.ok()["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_and_namespaces_go_on_etcd_too() {
    let etcd = Etcd::start();
    let (one, two) = (etcd.world().await, etcd.world().await);
    one.post("/api/v1/namespaces", &json!({"metadata": {"name": "n"}})).await.ok();
    let tasks = "/apis/meseta.dev/v1alpha1/namespaces/n/tasks";
    let owner = one.post(tasks, &crate::world::task("owner", &json!({}))).await.ok();
    let reference = json!({
        "apiVersion": owner["apiVersion"], "kind": "Task", "name": "owner",
        "uid": owner["metadata"]["uid"],
    });
    let owned = json!({"metadata": {"ownerReferences": [reference]}});
    one.post(tasks, &crate::world::task("owned", &owned)).await.ok();
    two.delete(&format!("{tasks}/owner"), &Value::Null).await.ok();
    one.gone(&format!("{tasks}/owned")).await;
    one.post(tasks, &crate::world::task("left", &json!({}))).await.ok();
    two.delete("/api/v1/namespaces/n", &Value::Null).await.ok();
    one.gone("/api/v1/namespaces/n").await;
    assert_eq!(two.get(&format!("{tasks}/left")).await.refusal().0, 404);
}
