use super::*;
use crate::request::path::Objects;
use crate::testing::task_kind;

fn list(query: &str) -> Result<ListOptions, Failure> {
    ListOptions::parse(&Query::parse(Some(query)), &Objects::default(), &task_kind())
}

fn watch(query: &str) -> Result<WatchOptions, Failure> {
    WatchOptions::parse(&Query::parse(Some(query)), &Objects::default(), &task_kind())
}

fn at(query: &str) -> (At, Option<usize>) {
    let options = list(query).unwrap();
    (options.at, options.limit)
}

fn code<T: std::fmt::Debug>(refused: Result<T, Failure>) -> u16 {
    refused.unwrap_err().code()
}

#[test]
fn a_list_shows_the_version_that_the_table_of_the_api_says() {
    let v5 = Version(5);
    assert_eq!(at(""), (At::Newest, None));
    assert_eq!(at("limit=3"), (At::Newest, Some(3)));
    assert_eq!(at("resourceVersion=0&limit=3"), (At::Any, None));
    assert_eq!(at("resourceVersion=5"), (At::NotOlderThan(v5), None));
    assert_eq!(at("resourceVersion=5&limit=1"), (At::Exactly(v5), Some(1)));
    assert_eq!(
        at("resourceVersion=5&limit=1&resourceVersionMatch=NotOlderThan"),
        (At::NotOlderThan(v5), Some(1))
    );
    assert_eq!(at("resourceVersion=5&resourceVersionMatch=Exact"), (At::Exactly(v5), None));
    assert_eq!(at("&limit=-1"), (At::Newest, None));
}

#[test]
fn a_list_refuses_what_does_not_go_together() {
    assert_eq!(code(list("resourceVersionMatch=Exact")), 422);
    assert_eq!(code(list("resourceVersionMatch=Exact&resourceVersion=0")), 422);
    assert_eq!(code(list("resourceVersionMatch=Bad&resourceVersion=5")), 422);
    assert_eq!(code(list("sendInitialEvents=true")), 422);
    assert_eq!(code(list("resourceVersion=abc")), 400);
    assert_eq!(code(list("limit=x")), 400);
    assert_eq!(code(list("continue=garbage")), 400);
    assert_eq!(code(list("continue=e30")), 400);
    let token = Token::new(Some(Version(7)), "a", None).encode();
    assert_eq!(code(list(&format!("continue={token}&resourceVersion=7"))), 400);
    let error = list("resourceVersionMatch=NotOlderThan&sendInitialEvents=true").unwrap_err();
    assert_eq!(error.body()["details"]["causes"].as_array().unwrap().len(), 2);
}

#[test]
fn a_token_leads_back_to_itself() {
    let token = Token::new(Some(Version(7)), "default/a", Some(3));
    let options = list(&format!("limit=1&continue={}", token.encode())).unwrap();
    assert_eq!(options.token, Some(token));
}

#[test]
fn a_watch_begins_where_the_table_of_the_api_says() {
    let start = |query: &str| watch(query).unwrap().start;
    let state = |at, bookmark| WatchStart::State { at, bookmark };
    assert_eq!(start(""), state(At::Newest, false));
    assert_eq!(start("resourceVersion=0"), state(At::Any, false));
    assert_eq!(start("resourceVersion=5"), WatchStart::After(Version(5)));
    let streaming =
        "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    assert_eq!(start(streaming), state(At::Newest, true));
    assert_eq!(start(&format!("{streaming}&resourceVersion=0")), state(At::Any, true));
    assert_eq!(
        start(&format!("{streaming}&resourceVersion=5")),
        state(At::NotOlderThan(Version(5)), true)
    );
    let plain = "sendInitialEvents=false&resourceVersionMatch=NotOlderThan&resourceVersion=5";
    assert_eq!(start(plain), WatchStart::After(Version(5)));
}

#[test]
fn a_watch_refuses_what_does_not_go_together() {
    assert_eq!(code(watch("sendInitialEvents=true")), 422);
    assert_eq!(code(watch("resourceVersionMatch=NotOlderThan")), 422);
    assert_eq!(code(watch("sendInitialEvents=true&resourceVersionMatch=Exact")), 422);
    assert_eq!(code(watch("continue=x")), 422);
    assert_eq!(code(watch("timeoutSeconds=x")), 400);
    assert_eq!(code(watch("fieldSelector=spec.nope%3D1")), 400);
    assert_eq!(code(watch("labelSelector=%3D%3Dbad")), 400);
}

#[test]
fn write_options_name_every_fault() {
    let parse = |query| WriteOptions::parse(&Query::parse(Some(query)), WriteKind::Create);
    assert!(parse("dryRun=All&dryRun=All").unwrap().dry_run);
    let error = parse("dryRun=No&fieldManager=a%07b&fieldValidation=x").unwrap_err();
    assert_eq!(error.body()["details"]["causes"].as_array().unwrap().len(), 3);
    assert_eq!(code(WriteOptions::parse(&Query::parse(Some("force=true")), WriteKind::Patch)), 422);
}

#[test]
fn delete_options_in_a_body_win() {
    let query = Query::parse(Some("propagationPolicy=Foreground"));
    let parse = |body| DeleteOptions::parse(&query, body);
    let policy = |body| parse(body).unwrap().propagation;
    assert_eq!(policy(None), Some(Propagation::Foreground));
    let body = serde_json::json!({"propagationPolicy": "Background", "bogus": 1});
    assert_eq!(policy(Some(body)), Some(Propagation::Background));
    let both = serde_json::json!({"propagationPolicy": "Orphan", "orphanDependents": true});
    assert_eq!(code(parse(Some(both))), 422);
    assert_eq!(code(parse(Some(serde_json::json!({"kind": "Other", "apiVersion": "v1"})))), 400);
}
