//! Options of lists and watches.

use std::time::Duration;

use meseta_store::Version;
use serde_json::Value;

use super::{Query, Token, invalid_options};
use crate::cache::Selection;
use crate::registry::Kind;
use crate::request::path::Objects;
use crate::selector::{FieldSelector, LabelSelector};
use crate::status::{Cause, Failure};

/// What version a list shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// The newest there is.
    Newest,
    /// Any that is at hand.
    Any,
    /// This one or a newer one.
    NotOlderThan(Version),
    /// This one.
    Exactly(Version),
}

/// Options of a list.
#[derive(Clone, Debug)]
pub(crate) struct ListOptions {
    pub(crate) selection: Selection,
    pub(crate) at: At,
    /// No limit where it is `None`.
    pub(crate) limit: Option<usize>,
    /// Where a list goes on.
    pub(crate) token: Option<Token>,
}

/// Where a watch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WatchStart {
    /// With the state now, as of `at`; a bookmark ends it if `bookmark` is set.
    State { at: At, bookmark: bool },
    /// With what comes next.
    Now,
    /// With what comes after a version.
    After(Version),
}

/// Options of a watch.
#[derive(Clone, Debug)]
pub(crate) struct WatchOptions {
    pub(crate) selection: Selection,
    pub(crate) start: WatchStart,
    pub(crate) bookmarks: bool,
    /// The client's own bound.
    pub(crate) timeout: Option<Duration>,
}

impl ListOptions {
    /// # Errors
    /// 400 for what cannot be read, 422 for what does not go together.
    pub(crate) fn parse(
        query: &Query<'_>,
        objects: &Objects,
        kind: &Kind,
    ) -> Result<Self, Failure> {
        let matching = query.get("resourceVersionMatch");
        let token = query.get("continue");
        let asked = query.get("resourceVersion");
        let mut causes =
            match_causes(matching, asked, token.is_some(), &["Exact", "NotOlderThan", ""]);
        if query.switch("sendInitialEvents").is_some() {
            causes.push(Cause::forbidden(
                "sendInitialEvents",
                "sendInitialEvents is forbidden for list",
            ));
        }
        if !causes.is_empty() {
            return Err(invalid_options("ListOptions", causes));
        }
        query.number("timeoutSeconds")?;
        let version = query.resource_version()?;
        let limit = query.number("limit")?.and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
        let token = token.map(Token::decode).transpose()?;
        if token.is_some() && version.is_some_and(|version| version.0 != 0) {
            let why = "specifying resource version is not allowed when using continue";
            return Err(Failure::bad_request(why));
        }
        let at = match (version, matching) {
            (None, _) => At::Newest,
            (Some(Version(0)), _) => At::Any,
            (Some(version), Some("Exact")) => At::Exactly(version),
            // The old rule: with a limit a version is meant exactly.
            (Some(version), None) if limit.is_some() => At::Exactly(version),
            (Some(version), _) => At::NotOlderThan(version),
        };
        // What any version answers is answered whole.
        let limit = limit.filter(|_| at != At::Any);
        Ok(Self { selection: selection(query, objects, kind)?, at, limit, token })
    }
}

impl WatchOptions {
    /// # Errors
    /// 400 for what cannot be read, 422 for what does not go together.
    pub(crate) fn parse(
        query: &Query<'_>,
        objects: &Objects,
        kind: &Kind,
    ) -> Result<Self, Failure> {
        let matching = query.get("resourceVersionMatch");
        let initial = query.switch("sendInitialEvents");
        let causes = watch_causes(matching, initial, query.get("continue").is_some());
        if !causes.is_empty() {
            return Err(invalid_options("ListOptions", causes));
        }
        let version = query.resource_version()?;
        let bookmarks = query.is_on("allowWatchBookmarks");
        let start = match (initial, version) {
            (Some(true), version) => {
                let at = match version {
                    None => At::Newest,
                    Some(Version(0)) => At::Any,
                    Some(version) => At::NotOlderThan(version),
                };
                WatchStart::State { at, bookmark: bookmarks }
            }
            (_, Some(version)) if version.0 != 0 => WatchStart::After(version),
            (Some(false), _) => WatchStart::Now,
            (_, Some(_)) => WatchStart::State { at: At::Any, bookmark: false },
            (_, None) => WatchStart::State { at: At::Newest, bookmark: false },
        };
        let seconds = query.number("timeoutSeconds")?.and_then(|n| u64::try_from(n).ok());
        let timeout = seconds.filter(|n| *n > 0).map(Duration::from_secs);
        let selection = selection(query, objects, kind)?;
        Ok(Self { selection, start, bookmarks, timeout })
    }
}

fn match_causes(
    matching: Option<&str>,
    asked: Option<&str>,
    continues: bool,
    supported: &[&str],
) -> Vec<Cause> {
    const FIELD: &str = "resourceVersionMatch";
    let Some(matching) = matching else { return Vec::new() };
    let mut causes = Vec::new();
    if continues {
        let why = "resourceVersionMatch is forbidden when continue is provided";
        causes.push(Cause::forbidden(FIELD, why));
    }
    if asked.is_none() {
        let why = "resourceVersionMatch is forbidden unless resourceVersion is provided";
        causes.push(Cause::forbidden(FIELD, why));
    }
    if !supported.contains(&matching) {
        causes.push(Cause::not_supported(FIELD, &Value::from(matching), supported));
    } else if matching == "Exact" && asked == Some("0") {
        let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
        causes.push(Cause::forbidden(FIELD, why));
    }
    causes
}

fn watch_causes(matching: Option<&str>, initial: Option<bool>, continues: bool) -> Vec<Cause> {
    const FIELD: &str = "resourceVersionMatch";
    const NOT_OLDER_THAN: &str = "NotOlderThan";
    let mut causes = Vec::new();
    if continues {
        let why = "resourceVersionMatch is forbidden when continue is provided";
        causes.push(Cause::forbidden(FIELD, why));
    }
    match (initial, matching) {
        (None, None) | (Some(_), Some(NOT_OLDER_THAN)) => {}
        (None, Some(_)) => causes.push(Cause::forbidden(
            FIELD,
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        )),
        (Some(_), other) => {
            let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            causes.push(Cause::forbidden(FIELD, why));
            if let Some(other) = other {
                let value = Value::from(other);
                causes.push(Cause::not_supported(FIELD, &value, &[NOT_OLDER_THAN]));
            }
        }
    }
    causes
}

/// Which objects are meant.
///
/// # Errors
/// 400 for a selector that cannot be read or a field that cannot be selected on.
pub(super) fn selection(
    query: &Query<'_>,
    objects: &Objects,
    kind: &Kind,
) -> Result<Selection, Failure> {
    let labels = LabelSelector::parse(query.get("labelSelector").unwrap_or_default());
    let mut fields = query.get("fieldSelector").unwrap_or_default().to_owned();
    if !objects.name.is_empty() {
        // The old form of a watch of one object.
        let separator = if fields.is_empty() { "" } else { "," };
        fields = format!("{fields}{separator}metadata.name={}", objects.name);
    }
    Ok(Selection {
        namespace: Some(objects.namespace.clone()).filter(|name| !name.is_empty()),
        labels: labels.map_err(Failure::bad_request)?,
        fields: FieldSelector::parse(&fields, kind).map_err(Failure::bad_request)?,
    })
}
