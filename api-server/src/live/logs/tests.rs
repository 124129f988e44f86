use super::*;

fn parse(query: &str) -> Result<Wanted, u16> {
    Wanted::parse(&Query::parse(Some(query))).map_err(|failure| failure.code())
}

#[test]
fn standard_output_is_what_is_read_where_nothing_is_said() {
    let wanted = parse("").unwrap();
    assert_eq!(wanted, Wanted { stream: "stdout", follow: false, tail_lines: None });
    assert_eq!(wanted.path("u"), "/v1/tasks/u/log?stream=stdout&follow=false");
}

#[test]
fn all_parameters_reach_the_agent() {
    let wanted = parse("stream=stderr&follow=true&tailLines=3").unwrap();
    assert_eq!(wanted.path("u"), "/v1/tasks/u/log?stream=stderr&follow=true&tailLines=3");
}

#[test]
fn what_is_not_known_is_refused() {
    assert_eq!(parse("stream=sterr"), Err(400));
    assert_eq!(parse("tailLines=-1"), Err(400));
}
