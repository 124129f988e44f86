//! Two control planes and one lease.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::{Api, Client};
use meseta_crds::{Framework, LEADER_LEASE, SYSTEM_NAMESPACE};

use crate::agents::{self, Fate};
use crate::records::Records;
use crate::{ControlPlane, config, eventually, framework_is, map_reduce};

/// Waits for a holder whose name begins so; returns the epoch.
async fn led_by(client: &Client, identity: &str) -> i32 {
    let leases: Api<Lease> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
    let leases = &leases;
    eventually(|| async move {
        let lease = leases.get(LEADER_LEASE).await.map_err(|err| err.to_string())?;
        let spec = lease.spec.unwrap();
        match &spec.holder_identity {
            Some(holder) if holder.starts_with(identity) => Ok(spec.lease_transitions.unwrap()),
            holder => Err(format!("{holder:?}")),
        }
    })
    .await
}

#[tokio::test]
async fn the_lease_is_handed_over_at_shutdown_and_taken_after_a_kill() {
    let records = Records::new();
    let client = records.client();
    let first = ControlPlane::start(client.clone(), config("first"));
    assert_eq!(led_by(&client, "first").await, 1);
    let second = ControlPlane::start(client.clone(), config("second"));
    let begin = tokio::time::Instant::now();
    first.shut_down().await;
    assert_eq!(led_by(&client, "second").await, 2);
    assert!(begin.elapsed() < Duration::from_millis(900), "no waiting for the end of the lease");

    let third = ControlPlane::start(client.clone(), config("third"));
    let begin = tokio::time::Instant::now();
    drop(second);
    assert_eq!(led_by(&client, "third").await, 3);
    assert!(begin.elapsed() > Duration::from_millis(500), "a lease is believed until it ends");
    third.shut_down().await;
}

#[tokio::test]
async fn a_sole_control_plane_takes_back_its_own_lease() {
    let records = Records::new();
    let client = records.client();
    let long = crate::Config { sole: true, lease_duration: Duration::from_secs(60), ..config("a") };
    let killed = ControlPlane::start(client.clone(), long.clone());
    assert_eq!(led_by(&client, "a").await, 1);
    drop(killed);
    let again = ControlPlane::start(client.clone(), long);
    let leases: Api<Lease> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
    let leases = &leases;
    eventually(|| async move {
        let transitions = leases.get(LEADER_LEASE).await.unwrap().spec.unwrap().lease_transitions;
        if transitions == Some(2) { Ok(()) } else { Err(format!("{transitions:?}")) }
    })
    .await;
    again.shut_down().await;
}

#[tokio::test]
async fn work_goes_on_under_each_next_leader() {
    let records = Records::new();
    let client = records.client();
    agents::register(&client, "one", 1).await;
    let first = ControlPlane::start(client.clone(), config("first"));
    led_by(&client, "first").await;
    let second = ControlPlane::start(client.clone(), config("second"));
    let frameworks: Api<Framework> = Api::namespaced(client.clone(), "default");
    frameworks.create(&PostParams::default(), &map_reduce()).await.unwrap();
    framework_is(&client, "Running").await;
    drop(first);
    let _agent = agents::start(client.clone(), "one", Fate::Finish);
    framework_is(&client, "Succeeded").await;
    // Each task was made once and placed once, whoever led.
    let events = records.task_events();
    let made = events.iter().filter(|(kind, _)| *kind == "ADDED").count();
    assert_eq!(made, 3);
    let epochs: BTreeSet<(String, i64)> = events
        .iter()
        .filter_map(|(_, record)| {
            let epoch = record["spec"]["placement"]["epoch"].as_i64()?;
            Some((record["metadata"]["name"].to_string(), epoch))
        })
        .collect();
    assert_eq!(epochs.len(), 3, "{epochs:?}");
    assert!(epochs.iter().any(|(_, epoch)| *epoch == 2), "{epochs:?}");
    second.shut_down().await;
}
