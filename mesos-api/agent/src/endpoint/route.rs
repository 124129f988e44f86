//! Which handler a path goes to: the longest registered one by whole components, with or without the
//! name of the agent's process before it.

use percent_encoding::percent_decode_str;

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Executor,
    Version,
    Health,
}

/// Name of the agent's process in Mesos.
const PROCESS: &str = "slave(1)";

/// The route of a path, percent-encoded as it came; `None` is 404.
pub(super) fn route(path: &str) -> Option<Route> {
    let path = percent_decode_str(path).decode_utf8().ok()?;
    if path.contains("/..") {
        return None;
    }
    let components: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let components = match components.split_first() {
        Some((&PROCESS, rest)) => rest,
        _ => &components,
    };
    match components {
        ["api", "v1", "executor", ..] => Some(Route::Executor),
        ["version", ..] => Some(Route::Version),
        ["health", ..] => Some(Route::Health),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_and_longer_paths_reach_the_executor_api() {
        for path in [
            "/api/v1/executor",
            "/api/v1/executor/",
            "/slave(1)/api/v1/executor",
            "/slave%281%29/api/v1/executor",
            "/slave%281%29/api/v1/executor/",
            "/api/v1/executor/x",
        ] {
            assert_eq!(route(path), Some(Route::Executor), "{path}");
        }
        assert_eq!(route("/version"), Some(Route::Version));
        assert_eq!(route("/slave(1)/health"), Some(Route::Health));
    }

    #[test]
    fn others_do_not() {
        for path in [
            "/",
            "",
            "/api/v1",
            "/api/v1/executors",
            "/slave(2)/api/v1/executor",
            "/slave(1)",
            "/master/api/v1/executor",
            "/version.json",
            "/version/../api/v1/executor",
            "/api/v1/executor/..",
            "/%ff",
            "*",
        ] {
            assert_eq!(route(path), None, "{path}");
        }
    }
}
