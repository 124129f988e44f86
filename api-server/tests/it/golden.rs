//! Requests and the answers that a real API server gave to them, replayed against ours.
//!
//! The vectors in `tests/data/golden/http/` are recordings of Kubernetes 1.36 with three kinds of
//! the group `golden.example.io`; `tests/data/golden/README.md` says how they were made and what
//! was left out. Each file runs on a server of its own. Time is the runtime's: a watch of a second
//! ends as soon as nothing else is left to do.

mod compare;
mod replay;
mod vector;

use std::path::Path;

use replay::Replay;

/// Replays a file to its end and fails with every difference that was found.
async fn differs_nowhere(file: &str) {
    let mut differences = Vec::new();
    let mut replay = Replay::start().await;
    for step in vectors(file) {
        if let Err(difference) = replay.run(&step).await {
            differences.push(format!("{} / {}: {difference}", step.scenario, step.step));
        }
    }
    assert!(
        differences.is_empty(),
        "{} differences\n{}",
        differences.len(),
        differences.join("\n")
    );
}

fn vectors(file: &str) -> Vec<vector::Step> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/golden/http");
    let text = std::fs::read_to_string(directory.join(file).with_extension("jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

macro_rules! recordings {
    ($($name:ident: $file:literal,)*) => {
        $(
            #[tokio::test(start_paused = true)]
            async fn $name() {
                differs_nowhere($file).await;
            }
        )*
    };
}

recordings! {
    creates: "create",
    faults_in_objects: "validation",
    updates: "update",
    json_patches: "patch-json",
    merge_patches: "patch-merge",
    lists: "list",
    tables: "table",
    watches: "watch",
    deletes_and_garbage: "delete-gc",
    errors: "errors",
    openapi: "openapi",
    secrets_and_config_maps: "secrets-configmaps",
    events_and_leases: "events-leases",
    discovery: "discovery",
}

/// By the wall clock: an emptied namespace is kept for a moment after its time of deletion.
#[tokio::test]
async fn namespaces() {
    differs_nowhere("namespaces").await;
}
