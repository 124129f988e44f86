//! Which handler a path goes to, as libprocess decides it: the longest registered prefix by whole
//! components, with or without the name of the process before it.

use percent_encoding::percent_decode_str;

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// The scheduler API.
    Scheduler,
    /// The operator API.
    Operator,
    /// Which Mesos this speaks like; served by every master.
    Version,
    /// Whether the process lives; served by every master.
    Health,
    /// Where the leader is.
    Redirect,
}

/// A registered path.
struct Registered {
    components: &'static [&'static str],
    route: Route,
    /// Whether it is an endpoint of the process `master`, and so exists below that name too.
    of_master: bool,
    /// Whether longer paths lead here too.
    prefix: bool,
}

const REGISTERED: &[Registered] = &[
    Registered {
        components: &["api", "v1", "scheduler"],
        route: Route::Scheduler,
        of_master: true,
        prefix: true,
    },
    Registered {
        components: &["api", "v1"],
        route: Route::Operator,
        of_master: true,
        prefix: true,
    },
    Registered { components: &["health"], route: Route::Health, of_master: true, prefix: true },
    Registered {
        components: &["redirect"],
        route: Route::Redirect,
        of_master: true,
        prefix: false,
    },
    Registered { components: &["version"], route: Route::Version, of_master: false, prefix: true },
];

/// The route of a request's path, percent-encoded as it came; `None` is 404.
pub(crate) fn route(path: &str) -> Option<Route> {
    let path = percent_decode_str(path).decode_utf8().ok()?;
    if path.contains("/..") {
        return None;
    }
    let components: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let (below_master, rest) = match components.split_first() {
        Some((&"master", rest)) => (true, rest),
        _ => (false, &components[..]),
    };
    REGISTERED
        .iter()
        .filter(|entry| entry.of_master || !below_master)
        .filter(|entry| {
            if entry.prefix { rest.starts_with(entry.components) } else { rest == entry.components }
        })
        .max_by_key(|entry| entry.components.len())
        .map(|entry| entry.route)
}

#[cfg(test)]
mod tests;
