//! Which encoding an answer may have, by the `Accept` header of the request.

use crate::encoding::Encoding;

/// In the order of preference, whatever the order and the weights of the header.
const PREFERRED: [Encoding; 2] = [Encoding::Json, Encoding::Protobuf];

impl Encoding {
    /// The encoding for an answer to a request with this `Accept` (the last, if there are several);
    /// `None` if neither is acceptable. A request without one accepts everything.
    #[must_use]
    pub fn accepted(accept: Option<&str>) -> Option<Self> {
        let list = accept.unwrap_or("*/*");
        PREFERRED.into_iter().find(|encoding| accepts(list, encoding.content_type()))
    }
}

/// Whether a list of media ranges lets `wanted` through. Weights change nothing but that 0 excludes.
fn accepts(list: &str, wanted: &str) -> bool {
    let mut accepted = false;
    for entry in list.split(',') {
        let mut parts = entry.split(';').map(str::trim);
        let range = parts.next().unwrap_or_default();
        let excluded = parts
            .filter_map(|part| part.strip_prefix("q="))
            .any(|weight| weight.parse::<f64>().is_ok_and(|weight| weight == 0.0));
        if range == wanted && excluded {
            return false;
        }
        let matches = range == "*/*"
            || range == wanted
            || range.strip_suffix("/*").is_some_and(|kind| {
                wanted.split_once('/').is_some_and(|(wanted_kind, _)| wanted_kind == kind)
            });
        accepted |= matches && !excluded;
    }
    accepted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accept: &str, expected: Option<Encoding>) {
        assert_eq!(Encoding::accepted(Some(accept)), expected, "{accept:?}");
    }

    #[test]
    fn without_a_header_it_is_json() {
        assert_eq!(Encoding::accepted(None), Some(Encoding::Json));
    }

    #[test]
    fn json_is_preferred_whatever_the_order_and_weights() {
        check("*/*", Some(Encoding::Json));
        check("application/*", Some(Encoding::Json));
        check("application/x-protobuf, application/json", Some(Encoding::Json));
        check("application/x-protobuf;q=1.0,application/json;q=0.1", Some(Encoding::Json));
        check("application/x-protobuf", Some(Encoding::Protobuf));
        check("text/html, application/x-protobuf", Some(Encoding::Protobuf));
    }

    #[test]
    fn a_weight_of_zero_excludes() {
        check("application/json;q=0, */*", Some(Encoding::Protobuf));
        check("*/*, application/json; q=0.0", Some(Encoding::Protobuf));
        check("*/*;q=0", None);
    }

    #[test]
    fn others_are_not_acceptable() {
        for accept in ["", "text/html", "application", "text/*", "application/recordio", ";;,,"] {
            check(accept, None);
        }
    }
}
