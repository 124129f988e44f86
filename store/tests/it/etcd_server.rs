//! Real etcd servers on free ports of the loopback interface.

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use meseta_store::Error;
use meseta_store::etcd::{EtcdStore, Options};
use tempfile::TempDir;

use crate::stores::soon;

/// One server with a directory of its own; both end with it.
pub(crate) struct Server {
    process: Child,
    directory: TempDir,
    endpoint: String,
    arguments: Vec<String>,
}

impl Server {
    /// Starts a server of its own with `arguments` beside those that it needs, and waits until it
    /// answers.
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        let [client, peer] = free_ports().map(|port| format!("http://127.0.0.1:{port}"));
        let server = Self::spawn("alone", &client, &peer, &format!("alone={peer}"), arguments);
        drop(server.store("/started").await);
        server
    }

    /// Starts a cluster of three; they may not answer yet.
    pub(crate) fn start_three() -> [Self; 3] {
        let [a, b, c, d, e, f] = free_ports().map(|port| format!("http://127.0.0.1:{port}"));
        let cluster = format!("a={d},b={e},c={f}");
        // Elections fast enough for a test, slow enough for a machine that others load.
        let arguments = ["--heartbeat-interval", "50", "--election-timeout", "500"];
        [("a", &a, &d), ("b", &b, &e), ("c", &c, &f)]
            .map(|(name, client, peer)| Self::spawn(name, client, peer, &cluster, &arguments))
    }

    /// Starts a server that may not answer yet. Everything it needs stands in its arguments, so
    /// that it can be started again.
    pub(crate) fn spawn(
        name: &str,
        client: &str,
        peer: &str,
        cluster: &str,
        arguments: &[&str],
    ) -> Self {
        let directory = TempDir::new().unwrap();
        let data = directory.path().join("data");
        let own = [
            ["--name", name],
            ["--data-dir", data.to_str().unwrap()],
            ["--listen-client-urls", client],
            ["--advertise-client-urls", client],
            ["--listen-peer-urls", peer],
            ["--initial-advertise-peer-urls", peer],
            ["--initial-cluster", cluster],
        ];
        let arguments: Vec<String> =
            own.iter().flatten().chain(arguments).copied().map(str::to_owned).collect();
        let process = run(&arguments, directory.path());
        Self { process, directory, endpoint: client.to_owned(), arguments }
    }

    /// Where clients reach it.
    pub(crate) fn endpoint(&self) -> String {
        self.endpoint.clone()
    }

    /// The store below `prefix`, as soon as the server answers.
    pub(crate) async fn store(&self, prefix: &str) -> EtcdStore {
        connect(vec![self.endpoint()], prefix).await
    }

    /// A client of etcd itself, for what is done behind a store's back.
    pub(crate) async fn client(&self) -> etcd_client::Client {
        etcd_client::Client::connect([self.endpoint()], None).await.unwrap()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again after [`Self::kill`], with what it has on disk.
    pub(crate) fn restart(&mut self) {
        self.process = run(&self.arguments, self.directory.path());
    }

    /// Takes away what it has on disk, between [`Self::kill`] and [`Self::restart`].
    pub(crate) fn wipe(&self) {
        std::fs::remove_dir_all(self.directory.path().join("data")).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have been killed already.
        let _gone = self.process.kill();
        let _gone = self.process.wait();
    }
}

/// The store below `prefix`, as soon as one of `endpoints` answers.
pub(crate) async fn connect(endpoints: Vec<String>, prefix: &str) -> EtcdStore {
    connect_with(Options { endpoints, prefix: prefix.to_owned(), tls: None }).await
}

/// The store as `options` say, as soon as it answers.
pub(crate) async fn connect_with(options: Options) -> EtcdStore {
    let connecting = async {
        loop {
            match EtcdStore::connect(options.clone()).await {
                Ok(store) => return store,
                Err(Error::Unavailable(_)) => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(other) => panic!("{other:?}"),
            }
        }
    };
    soon("etcd's answer", connecting).await
}

/// Ports that were free a moment ago; they are held until all are found, so they differ.
pub(crate) fn free_ports<const COUNT: usize>() -> [u16; COUNT] {
    let listeners = [(); COUNT].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

fn run(arguments: &[String], directory: &Path) -> Child {
    let log = File::options().create(true).append(true).open(directory.join("log")).unwrap();
    Command::new(etcd_bin_vendored::etcd_bin_path().unwrap())
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}
