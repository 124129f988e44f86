//! Which encoding a request has, and which one its answer may have: the rules of `Content-Type` and
//! `Accept`, the same on the master and on the agent. Types are compared exactly, as Mesos does.

use crate::Encoding;

/// In the order of preference for answers.
const ENCODINGS: [Encoding; 2] = [Encoding::Json, Encoding::Protobuf];

impl Encoding {
    /// The encoding of a body with this `Content-Type`: case counts, and there are no parameters.
    #[must_use]
    pub fn of_content_type(content_type: &str) -> Option<Self> {
        ENCODINGS.into_iter().find(|each| each.content_type() == content_type)
    }

    /// The encoding of the answer to a request with this `Accept`: JSON if it is acceptable, else
    /// protobuf; the order and the weights in the header change nothing, but a weight of 0 excludes.
    /// Without a header, JSON.
    #[must_use]
    pub fn accepted(accept: Option<&str>) -> Option<Self> {
        let accept = accept.unwrap_or("*/*");
        ENCODINGS.into_iter().find(|each| accepts(accept, each.content_type()))
    }
}

/// The most specific of the ranges that match decides.
fn accepts(ranges: &str, wanted: &str) -> bool {
    let group = wanted.split('/').next().unwrap_or_default();
    let decisive = ranges.split(',').filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next()?;
        let rank = match media {
            "*/*" => 0,
            _ if media.strip_suffix("/*") == Some(group) => 1,
            _ if media == wanted => 2,
            _ => return None,
        };
        Some((rank, !parts.any(is_zero_weight)))
    });
    decisive.max_by_key(|(rank, _)| *rank).is_some_and(|(_, allowed)| allowed)
}

fn is_zero_weight(parameter: &str) -> bool {
    let weight = parameter.strip_prefix("q=").map(|weight| weight.trim().parse::<f64>());
    matches!(weight, Some(Ok(0.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_type_is_compared_exactly() {
        let of = Encoding::of_content_type;
        assert_eq!(of("application/json"), Some(Encoding::Json));
        assert_eq!(of("application/x-protobuf"), Some(Encoding::Protobuf));
        for other in ["", "application/json; charset=utf-8", "Application/JSON", "text/json", "*/*"]
        {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn json_is_preferred_whatever_the_order_and_weights() {
        for accept in [
            "*/*",
            "application/*",
            "application/json",
            "application/x-protobuf,application/json",
            "application/json;q=0.1, application/x-protobuf;q=1",
            "text/html, */*;q=0.1",
        ] {
            assert_eq!(Encoding::accepted(Some(accept)), Some(Encoding::Json), "{accept}");
        }
        assert_eq!(Encoding::accepted(None), Some(Encoding::Json));
    }

    #[test]
    fn protobuf_is_the_answer_if_json_is_not_acceptable() {
        for accept in [
            "application/x-protobuf",
            " text/html , application/x-protobuf ",
            "application/json;q=0, application/x-protobuf",
            "*/*, application/json; q=0.0",
        ] {
            assert_eq!(Encoding::accepted(Some(accept)), Some(Encoding::Protobuf), "{accept}");
        }
    }

    #[test]
    fn nothing_is_acceptable_if_no_range_matches_or_all_are_excluded() {
        for accept in ["", "text/*", "application/recordio", "*/*;q=0", "*/*, application/*;q=0"] {
            assert_eq!(Encoding::accepted(Some(accept)), None, "{accept}");
        }
    }
}
