//! Requests and the answers that a real API server gave to them, replayed against ours.
//!
//! The vectors in `tests/data/golden/http/` are recordings of Kubernetes 1.36 with four kinds of
//! the group `golden.example.io`; `tests/data/golden/README.md` says how they were made and what
//! was left out. Each file runs in namespaces of its own, all against one server.

mod compare;
mod replay;
mod vector;

use std::path::{Path, PathBuf};

use replay::Replay;

fn vectors(file: &str) -> Vec<vector::Step> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/golden/http");
    let path: PathBuf = directory.join(file).with_extension("jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Replays the files side by side and fails with every difference that was found.
async fn replay(files: &[&str]) {
    let server = replay::server().await;
    let runs = files.iter().map(|file| async {
        let mut differences = Vec::new();
        let mut replay = Replay::new(server.clone());
        for step in vectors(file) {
            if let Err(difference) = replay.run(&step).await {
                let (scenario, name) = (&step.scenario, &step.step);
                differences.push(format!("{file} / {scenario} / {name}: {difference}"));
            }
        }
        differences
    });
    let differences: Vec<String> = futures::future::join_all(runs).await.concat();
    assert!(differences.is_empty(), "{} differences\n{}", differences.len(), differences.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_and_writes_are_answered_as_by_a_real_server() {
    replay(&FILES).await;
}

/// The recordings, but for that of discovery.
const FILES: [&str; 14] = [
    "create",
    "validation",
    "update",
    "patch-json",
    "patch-merge",
    "list",
    "table",
    "watch",
    "delete-gc",
    "namespaces",
    "errors",
    "openapi",
    "secrets-configmaps",
    "events-leases",
];

#[tokio::test(flavor = "multi_thread")]
async fn discovery_is_answered_as_by_a_real_server() {
    replay(&["discovery"]).await;
}
