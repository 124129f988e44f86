//! The flags of the roles: where they listen, and what is said when they cannot.

use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// How long a role may take to begin, or to give up, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A `meseta` with these arguments, and a data directory of its own if it is a role.
fn meseta(args: &[&str], data_dir: &tempfile::TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meseta"));
    command
        .args(args)
        .arg("--data-dir")
        .arg(data_dir.path().join("d"))
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Exit code and stderr of a command that ends by itself.
async fn ends(args: &[&str]) -> (i32, String) {
    let data_dir = tempfile::tempdir().unwrap();
    let output = tokio::time::timeout(PATIENCE, meseta(args, &data_dir).output()).await;
    let output = output.unwrap_or_else(|_| panic!("{args:?} goes on")).unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test]
async fn a_port_that_is_taken_names_the_flag_that_helps() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let any = "127.0.0.1:0";
    let mesos = ["control-plane", "--listen", any, "--mesos-listen", &taken];
    let api = ["control-plane", "--listen", &taken, "--mesos-listen", any];
    let executors = ["up", "--listen", any, "--mesos-listen", "none", "--shim", "/bin/true"];
    let executors = [&executors[..], &["--mesos-agent-listen", &taken]].concat();
    for (args, flag) in [
        (&mesos[..], "--mesos-listen takes another"),
        (&api[..], "--listen takes another"),
        (&executors[..], "--mesos-agent-listen takes another"),
    ] {
        let (code, said) = ends(args).await;
        assert!(code == 1 && said.contains(&taken) && said.contains(flag), "{args:?}: {said}");
    }
}

#[tokio::test]
async fn what_is_no_address_is_refused_before_anything_starts() {
    for args in [
        ["up", "--mesos-listen", "5050"],
        ["control-plane", "--mesos-listen", "localhost:5050"],
        ["control-plane", "--mesos-listen", "off"],
        ["up", "--mesos-agent-listen", "5051"],
    ] {
        let (code, said) = ends(&args).await;
        assert!(code == 2 && said.contains("ADDRESS:PORT"), "{args:?}: {said}");
    }
}

/// A control plane that has begun to serve, until it is dropped, and the line that says so.
async fn control_plane(mesos: &str, data_dir: &tempfile::TempDir) -> (Child, String) {
    let args = ["control-plane", "--listen", "127.0.0.1:0", "--mesos-listen", mesos];
    let mut child = meseta(&args, data_dir).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            let line = lines.next_line().await.unwrap().expect("it ended");
            if line.contains("control plane serves") {
                // The rest is read, so that it can go on writing.
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return line;
            }
        }
    });
    (child, found.await.expect("it does not serve"))
}

#[tokio::test]
async fn a_free_port_is_told_and_serves_schedulers() {
    let data_dir = tempfile::tempdir().unwrap();
    let (_child, line) = control_plane("127.0.0.1:0", &data_dir).await;
    let (_, rest) = line.split_once("mesos=\"").unwrap_or_else(|| panic!("{line}"));
    let address = rest.split('"').next().unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET /version HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"version\""), "{answer}");
}

#[tokio::test]
async fn none_serves_no_schedulers() {
    let data_dir = tempfile::tempdir().unwrap();
    let (_child, line) = control_plane("none", &data_dir).await;
    assert!(!line.contains("mesos="), "{line}");
}
