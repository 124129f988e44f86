//! Real etcd servers on free ports of the loopback interface.

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
    client_port: u16,
    peer_port: u16,
    arguments: Vec<String>,
}

impl Server {
    /// Starts a server with `arguments` beside those that it needs; it may not answer yet.
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let arguments: Vec<String> = arguments.iter().copied().map(str::to_owned).collect();
        let [client_port, peer_port] = free_ports();
        let process = spawn(directory.path(), client_port, peer_port, &arguments);
        let server = Self { process, directory, client_port, peer_port, arguments };
        drop(server.store("/started").await);
        server
    }

    /// Where clients reach it.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.client_port)
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
        self.process =
            spawn(self.directory.path(), self.client_port, self.peer_port, &self.arguments);
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
    let options = Options { endpoints, prefix: prefix.to_owned(), tls: None };
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

fn spawn(directory: &Path, client_port: u16, peer_port: u16, arguments: &[String]) -> Child {
    let client = format!("http://127.0.0.1:{client_port}");
    let peer = format!("http://127.0.0.1:{peer_port}");
    let log =
        std::fs::File::options().create(true).append(true).open(directory.join("log")).unwrap();
    Command::new(etcd_bin_vendored::etcd_bin_path().unwrap())
        .args(["--data-dir", directory.join("data").to_str().unwrap()])
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("default={peer}")])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}
