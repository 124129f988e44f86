//! How much of a record may be written by whom, so that the record can always go on to its end.
//!
//! ```text
//!                       created       changed            status        end
//!  ├── what is wanted ─────┼─────────────┼──────────────────┼───────────┤ MAX_VALUE_BYTES
//!                           GROWTH_BYTES   STATUS_BYTES       END_BYTES
//! ```
//!
//! A record without room left would run, and could neither be told of nor be ended. What does not
//! grow a record is never refused.

use meseta_store::MAX_VALUE_BYTES;
use serde_json::Value;

use crate::object::{Body, Object};
use crate::registry::Kind;
use crate::status::Failure;

/// For the mark of a deletion, and who wants to see the end.
const END_BYTES: usize = 4 * 1024;
/// For the status: a task's updates, which are cut to what there is room for, and the rest.
const STATUS_BYTES: usize = 288 * 1024;
/// For what is added to a new record: where it runs, finalizers, a wish that it ends.
const GROWTH_BYTES: usize = 28 * 1024;

/// Checks that `body`, which is of `value`, may stand where `old` was, or nothing.
///
/// # Errors
/// 413.
pub(super) fn check(
    kind: &Kind,
    old: Option<&Object>,
    value: &Value,
    body: &Body,
) -> Result<(), Failure> {
    let bytes = body.bytes().len();
    if value["metadata"].get("deletionTimestamp").is_some() {
        return at_most(MAX_VALUE_BYTES, bytes, || 0);
    }
    let most = MAX_VALUE_BYTES - END_BYTES;
    at_most(most, bytes, || old.map_or(0, |old| old.body().bytes().len()))?;
    let growth = if old.is_none() { GROWTH_BYTES } else { 0 };
    let most = most - STATUS_BYTES - growth;
    // Of most records it is plain that they are small enough.
    if !kind.status_subresource || bytes <= most {
        return Ok(());
    }
    let before = || old.map_or(0, |old| without_status(old.body(), &old.value()));
    at_most(most, without_status(body, value), before)
}

/// Whether there are at most so many bytes, or no more than `before`.
fn at_most(limit: usize, bytes: usize, before: impl FnOnce() -> usize) -> Result<(), Failure> {
    if bytes > limit && bytes > before() { Err(Failure::too_large(limit)) } else { Ok(()) }
}

/// Bytes of an object but for its status.
fn without_status(body: &Body, value: &Value) -> usize {
    let member = |status: &Value| r#","status":"#.len() + status.to_string().len();
    body.bytes().len().saturating_sub(value.get("status").map_or(0, member))
}
