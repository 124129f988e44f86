//! Messages of the scheduler, as long as somebody reads them.

use expect_test::expect;

use super::script::check;
use crate::session::*;

#[test]
fn messages_go_only_to_who_is_there() {
    check(
        "message early
         subscribe
         message hello
         disconnect
         message late
         subscribe",
        &expect![[r"
            message early
              the executor is not connected
            subscribe
              SUBSCRIBED
            message hello
              MESSAGE hello
            disconnect
            message late
              the executor is not connected
            subscribe
              end
              SUBSCRIBED
        "]],
    );
}

#[test]
fn messages_that_are_not_read_are_bounded() {
    let mut session = Session::new(Duration::from_secs(60));
    session.subscribe();
    let sent = (0..1000).take_while(|_| session.message(Bytes::from_static(b"x")).is_ok()).count();
    assert_eq!(sent, 256);
    session.subscribe();
    let large = Bytes::from(vec![0; 3 << 20]);
    assert_eq!(session.message(large.clone()), Ok(()));
    assert_eq!(session.message(large), Err(Undelivered::Full));
    session.subscribe();
    assert_eq!(session.message(Bytes::from(vec![0; 5 << 20])), Ok(()), "one alone may be larger");
}
