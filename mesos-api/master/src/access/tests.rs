use http::HeaderValue;

use super::*;

const LOCAL: &str = "127.0.0.1:4000";
const REMOTE: &str = "10.0.0.7:4000";

fn access(known: Known) -> Access {
    Access { known: watch::channel(known).1 }
}

fn with(pairs: &[(&str, &str)]) -> Access {
    let secrets = pairs.iter().map(|(p, s)| ((*p).to_owned(), digest(s.as_bytes()))).collect();
    access(Known::Present(Arc::new(secrets)))
}

fn check(access: &Access, authorization: &str, peer: &str) -> Result<Option<String>, u16> {
    let mut headers = HeaderMap::new();
    if !authorization.is_empty() {
        let value = HeaderValue::from_str(authorization).unwrap();
        headers.insert(header::AUTHORIZATION, value);
    }
    let peer = peer.parse().ok();
    access.admit(&headers, peer, SCHEDULER_REALM).map_err(|refusal| refusal.status.as_u16())
}

fn pair(text: &str) -> String {
    format!("Basic {}", STANDARD.encode(text))
}

#[test]
fn without_credentials_only_this_machine_is_served() {
    let open = access(Known::Absent);
    assert_eq!(check(&open, "", LOCAL), Ok(None));
    assert_eq!(check(&open, "", "[::1]:4000"), Ok(None));
    assert_eq!(check(&open, "", "[::ffff:127.0.0.1]:4000"), Ok(None));
    assert_eq!(check(&open, "", REMOTE), Err(403));
    assert_eq!(check(&open, "", "not known"), Err(403));
}

#[test]
fn nobody_is_served_before_the_credentials_are_read() {
    assert_eq!(check(&access(Known::Nothing), "", LOCAL), Err(503));
}

#[test]
fn with_credentials_a_principal_and_its_secret_are_needed_from_everywhere() {
    let closed = with(&[("ann", "s3cret"), ("ben", "")]);
    assert_eq!(check(&closed, &pair("ann:s3cret"), REMOTE), Ok(Some("ann".to_owned())));
    assert_eq!(check(&closed, &pair("ben:"), LOCAL), Ok(Some("ben".to_owned())));
    for wrong in [
        String::new(),
        pair("ann:other"),
        pair("ann:s3cret:more"),
        pair("ann"),
        pair(":s3cret"),
        pair("eve:s3cret"),
        pair("eve:"),
        "Basic !!!".to_owned(),
        "Bearer x".to_owned(),
        "Basic".to_owned(),
    ] {
        assert_eq!(check(&closed, &wrong, LOCAL), Err(401), "{wrong}");
    }
}

#[test]
fn an_empty_secret_record_lets_nobody_in() {
    assert_eq!(check(&with(&[]), &pair("ann:s3cret"), LOCAL), Err(401));
    assert_eq!(check(&with(&[]), "", LOCAL), Err(401));
}

#[test]
fn a_page_in_a_browser_of_this_machine_is_not_served_without_credentials() {
    let mut headers = HeaderMap::new();
    headers.insert(header::ORIGIN, HeaderValue::from_static("http://127.0.0.1:5050"));
    let peer = LOCAL.parse().ok();
    let answer = access(Known::Absent).admit(&headers, peer, SCHEDULER_REALM);
    assert_eq!(answer.unwrap_err().status.as_u16(), 403);
}
