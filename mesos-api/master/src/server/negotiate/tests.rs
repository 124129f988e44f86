use http::HeaderValue;

use super::*;

fn headers(name: &HeaderName, values: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

#[test]
fn of_two_accept_headers_the_last_counts() {
    let answer = |values: &[&str]| {
        accepted(&headers(&header::ACCEPT, values)).map_err(|refusal| refusal.status.as_u16())
    };
    assert_eq!(answer(&["application/json", "application/x-protobuf"]), Ok(Encoding::Protobuf));
    assert_eq!(answer(&["application/json", "application/recordio"]), Err(406), "mesos-go");
    assert_eq!(answer(&[]), Ok(Encoding::Json));
}

#[test]
fn content_types_are_compared_exactly_and_the_last_counts() {
    let read = |values: &[&str]| {
        content_type(&headers(&header::CONTENT_TYPE, values)).map_err(|r| r.status.as_u16())
    };
    assert_eq!(read(&["application/json"]), Ok(Encoding::Json));
    assert_eq!(read(&["text/plain", "application/x-protobuf"]), Ok(Encoding::Protobuf));
    assert_eq!(read(&["application/json; charset=utf-8"]), Err(415));
    assert_eq!(read(&[]), Err(400));
}
