use std::time::{Duration, SystemTime};

use super::*;
use crate::{ADMIN_GROUP, inspect, verify};

fn authority() -> CertificateAuthority {
    CertificateAuthority::generate().unwrap()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn what_the_authority_issues_verifies_against_it_alone() {
    let (ours, theirs) = (authority(), authority());
    let now = SystemTime::now();
    for issued in [
        ours.issue_server(&names(&["localhost"])).unwrap(),
        ours.issue_client("admin", &names(&[ADMIN_GROUP])).unwrap(),
        ours.issue_agent("a1").unwrap(),
    ] {
        verify(ours.certificate_pem(), &issued.certificate_pem, now).unwrap();
        let error = verify(theirs.certificate_pem(), &issued.certificate_pem, now).unwrap_err();
        assert!(error.to_string().contains("signature"), "{error}");
    }
}

#[test]
fn a_certificate_is_valid_from_a_clock_skew_ago_for_a_year() {
    let issued = authority().issue_client("a", &[]).unwrap();
    let info = inspect(&issued.certificate_pem).unwrap();
    let now = SystemTime::now();
    let slack = Duration::from_secs(60);
    assert!(
        info.not_before <= now - CLOCK_SKEW + slack && info.not_before >= now - CLOCK_SKEW - slack
    );
    let end = now + CERTIFICATE_VALIDITY;
    assert!(info.not_after <= end + slack && info.not_after >= end - slack);
}

#[test]
fn outside_its_validity_a_certificate_is_refused() {
    let ca = authority();
    let issued = ca.issue_client("a", &[]).unwrap();
    let check = |at| verify(ca.certificate_pem(), &issued.certificate_pem, at);
    let now = SystemTime::now();
    assert!(
        check(now + CERTIFICATE_VALIDITY + CLOCK_SKEW).unwrap_err().to_string().contains("over")
    );
    assert!(check(now - 2 * CLOCK_SKEW).unwrap_err().to_string().contains("yet to come"));
}

#[test]
fn user_group_and_names_are_read_back() {
    let ca = authority();
    let agent = inspect(&ca.issue_agent("a1").unwrap().certificate_pem).unwrap();
    assert_eq!(agent.common_name, "meseta:agent:a1");
    assert_eq!(agent.organizations, [AGENTS_GROUP]);
    assert_eq!(agent.names, ["a1.agent.meseta.internal"]);
    assert!(!agent.is_authority);
    let server = ca.issue_server(&names(&["db.example", "10.1.2.3", "::1", "[::2]"])).unwrap();
    let server = inspect(&server.certificate_pem).unwrap();
    assert_eq!(server.names, ["db.example", "10.1.2.3", "::1", "::2"]);
}

#[test]
fn an_authority_survives_its_pem() {
    let first = authority();
    let again = CertificateAuthority::from_pem(first.certificate_pem(), &first.key_pem()).unwrap();
    let issued = again.issue_client("a", &[]).unwrap();
    verify(first.certificate_pem(), &issued.certificate_pem, SystemTime::now()).unwrap();
    assert!(inspect(again.certificate_pem()).unwrap().is_authority);
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let (one, two) = (authority(), authority());
    let error = CertificateAuthority::from_pem(one.certificate_pem(), &two.key_pem()).unwrap_err();
    assert!(error.to_string().contains("another certificate"), "{error}");
    let client = one.issue_client("a", &[]).unwrap();
    assert!(CertificateAuthority::from_pem(&client.certificate_pem, &client.key_pem).is_err());
    assert!(CertificateAuthority::from_pem("", "").is_err());
}

#[test]
fn several_groups_are_refused_instead_of_dropped() {
    let error = authority().issue_client("a", &names(&["g", "h"])).unwrap_err();
    assert!(matches!(error, Error::ManyGroups { .. }));
}

#[test]
fn the_debug_form_shows_no_key() {
    let ca = authority();
    let issued = ca.issue_agent("a").unwrap();
    assert!(!format!("{ca:?}{issued:?}").contains("PRIVATE"));
}
