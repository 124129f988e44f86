use super::*;

#[test]
fn callers_are_sent_to_a_leader_that_they_can_reach_or_told_why_not() {
    let check = |mesos: Option<&str>| {
        let leader = LeaderAddress { mesos: mesos.map(str::to_owned), ..LeaderAddress::default() };
        followed(&leader, "127.0.0.1:5050")
            .map_err(|refusal| (refusal.status.as_u16(), refusal.text))
    };
    assert_eq!(check(Some("m2:5050")), Ok("m2:5050".to_owned()));
    for (mesos, gist) in [
        (Some("127.0.0.1:5050"), "on its own machine only; see --mesos-listen"),
        (Some("nonsense"), "No leader elected"),
        (None, "The leader serves no Mesos schedulers"),
    ] {
        let (status, text) = check(mesos).unwrap_err();
        assert!(status == 503 && text.contains(gist), "{status} {text}");
    }
}
