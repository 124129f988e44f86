use super::*;

#[test]
fn the_longest_registered_prefix_by_components_answers() {
    assert_eq!(route("/api/v1/scheduler"), Some(Route::Scheduler));
    assert_eq!(route("/api/v1/scheduler/more"), Some(Route::Scheduler));
    assert_eq!(route("/api/v1"), Some(Route::Operator));
    assert_eq!(route("/api/v1/operator"), Some(Route::Operator), "pymesos posts there");
    assert_eq!(route("/api/v1/schedulers"), Some(Route::Operator), "not by characters");
    assert_eq!(route("/version"), Some(Route::Version));
    assert_eq!(route("/health"), Some(Route::Health));
}

#[test]
fn every_endpoint_exists_below_its_process() {
    assert_eq!(route("/master/api/v1/scheduler"), Some(Route::Scheduler));
    assert_eq!(route("/master/api/v1"), Some(Route::Operator));
    assert_eq!(route("/master/health"), Some(Route::Health));
    assert_eq!(route("/master/redirect"), Some(Route::Redirect));
    assert_eq!(route("/master/version"), None, "version is a process of its own");
}

#[test]
fn slashes_at_the_end_and_percent_signs_change_nothing() {
    assert_eq!(route("/api/v1/scheduler/"), Some(Route::Scheduler));
    assert_eq!(route("/%6daster/api/v1/scheduler//"), Some(Route::Scheduler));
}

#[test]
fn what_is_not_registered_is_not_found() {
    for path in [
        "/",
        "",
        "/master",
        "/api",
        "/api/v2/scheduler",
        "/redirect/x",
        "/state.json",
        "/api/v1/scheduler/..",
        "/api/../api/v1/scheduler",
        "/%2e%2e/version",
        "/api/v1/scheduler/%ff",
        "*",
    ] {
        assert_eq!(route(path), None, "{path}");
    }
}
