//! What kubectl shows of offers.

use serde_json::Value;

use crate::kubectl::Cluster;
use crate::offers::leading;

#[tokio::test(flavor = "multi_thread")]
async fn offers_are_shown_as_a_table_and_whole() {
    let (world, _book) = leading().await;
    let cluster = Cluster::of(world).await;
    let table = cluster.ok("get offers -A").await;
    let rows: Vec<Vec<&str>> =
        table.lines().map(|line| line.split_whitespace().collect()).collect();
    let columns = ["NAMESPACE", "NAME", "FRAMEWORK", "ROLE", "AGENT", "CPU", "MEMORY", "AGE"];
    assert_eq!(rows[0], columns);
    assert_eq!(rows.len(), 4, "{table}");
    assert_eq!(rows[1][..7], ["default", "o-1", "flink", "eng", "n2", "2", "512Mi"]);
    assert_eq!(rows[3][..3], ["other", "o-3", "spark"]);
    assert_eq!(cluster.ok("get ofr o-1 -o wide").await.lines().count(), 2);

    let named = cluster.ok("get ofr -A -o name --field-selector spec.agentName=n2").await;
    assert_eq!(named, "offer.live.meseta.dev/o-1\noffer.live.meseta.dev/o-3\n");
    let whole = cluster.ok("get offer o-1 -o yaml").await;
    let whole: Value = serde_yaml::from_str(&whole).unwrap();
    assert_eq!(whole["spec"]["resources"]["cpu"], "2");
    let one = cluster.ok("get offer o-1 -o jsonpath={.spec.resources.memory}").await;
    assert_eq!(one, "512Mi");
    assert!(cluster.ok("describe offer o-1").await.contains("Agent Name:  n2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn offers_come_and_go_before_the_eyes() {
    let (world, book) = leading().await;
    let cluster = Cluster::of(world).await;
    let mut lines = cluster.follow("get offers -A -w --output-watch-events");
    assert_eq!(lines.next().await[0], "EVENT");
    for name in ["o-1", "o-2", "o-3"] {
        let line = lines.next().await;
        assert_eq!((line[0].as_str(), line[2].as_str()), ("ADDED", name));
    }
    book.add("default", "o-4", "spark", "n1");
    assert_eq!(lines.next().await[..4], ["ADDED", "default", "o-4", "spark"]);
    book.remove("o-1");
    assert_eq!(lines.next().await[..4], ["DELETED", "default", "o-1", "flink"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn offers_are_explained_and_not_written() {
    let (world, _book) = leading().await;
    let cluster = Cluster::of(world).await;
    let resources = cluster.ok("api-resources --api-group=live.meseta.dev --no-headers").await;
    let words: Vec<&str> = resources.split_whitespace().collect();
    assert_eq!(words, ["offers", "ofr", "live.meseta.dev/v1alpha1", "true", "Offer"]);
    let explained = cluster.ok("explain offers.spec").await;
    assert!(explained.contains("expiresAt") && explained.contains("VERSION:    v1alpha1"));
    assert!(cluster.ok("explain ofr").await.contains("for a limited time"));
    let refused = cluster.fails("delete offer o-1", "").await;
    assert!(refused.contains("not supported"), "{refused}");
    assert!(cluster.fails("get offer nope", "").await.contains("not found"));
}
