//! `list`: the objects that are selected, in pages if the client wants it so.
//!
//! The first page pins the version that all show. As long as nothing has changed since, pages come
//! from the cache; after that, from the store's history.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use meseta_store::{Error, Version};
use serde_json::{Value, json};

use super::wanted;
use crate::answer::{self, Body, Response};
use crate::cache::{Form, metadata, write_object};
use crate::object::Object;
use crate::registry::Kind;
use crate::request::media::{Encoding, Wanted};
use crate::request::params::{At, ListOptions, Token};
use crate::server::{Request, Server};
use crate::status::Failure;
use crate::storage::Resource;
use crate::table;

/// Records read at once from the store's history.
const STORE_PAGE: usize = 500;
/// Objects encoded at once; a longer list is streamed, so that no answer is whole in memory twice.
const CHUNK: usize = 256;

/// A page of a list.
pub(crate) struct Page {
    pub(crate) objects: Vec<Arc<Object>>,
    pub(crate) version: Version,
    /// Where the next page begins.
    next: Option<Token>,
}

impl Page {
    /// The one page of a list that is never cut.
    pub(crate) fn whole(objects: Vec<Arc<Object>>, version: Version) -> Self {
        Self { objects, version, next: None }
    }
}

/// Answers with a list, or a page of one.
///
/// # Errors
/// 400, 406, 410, 422, 504.
pub(crate) async fn handle(
    server: &Arc<Server>,
    request: &Request<'_>,
) -> Result<Response, Failure> {
    let wanted = wanted(request)?;
    let options = ListOptions::parse(&request.query, request.objects, request.kind())?;
    let page = page(server, request.resource, &options).await?;
    Ok(render(Arc::clone(request.kind()), page, wanted))
}

/// Finds a page.
///
/// # Errors
/// 410 where the version is compacted, 504 where it is yet to come.
pub(crate) async fn page(
    server: &Server,
    resource: &Resource,
    options: &ListOptions,
) -> Result<Page, Failure> {
    let cache = &resource.cache;
    let ListOptions { selection, limit, token, .. } = options;
    let after = token.as_ref().map(|token| token.after.as_str());
    let pinned = match (token, options.at) {
        (Some(token), _) => token.version(),
        (None, At::Exactly(version)) => Some(version),
        (None, At::Newest | At::Any | At::NotOlderThan(_)) => None,
    };
    if let Some(version) = pinned {
        cache.wait_for(server.store(), version).await?;
        if let Some(found) = cache.list_at(version, selection, after, *limit) {
            return Ok(whole_or_page(
                found.objects,
                version,
                found.more,
                remaining(options, found.total),
            ));
        }
        return from_history(server, resource, options, version).await;
    }
    match options.at {
        At::NotOlderThan(version) => cache.wait_for(server.store(), version).await?,
        // A page after a compaction goes on with what is there now.
        At::Newest => {
            cache.wait_for_now(server.store()).await?;
        }
        At::Any | At::Exactly(_) => {}
    }
    let found = cache.list(selection, after, *limit);
    let remaining = remaining(options, found.total);
    Ok(whole_or_page(found.objects, found.version, found.more, remaining))
}

/// Objects from the beginning of the page on, where it is known: not with a selector.
fn remaining(options: &ListOptions, total: Option<usize>) -> Option<u64> {
    match &options.token {
        Some(token) => token.remaining,
        None => total.map(|total| u64::try_from(total).unwrap_or(u64::MAX)),
    }
}

fn whole_or_page(
    objects: Vec<Arc<Object>>,
    version: Version,
    more: bool,
    remaining: Option<u64>,
) -> Page {
    let next = objects.last().filter(|_| more).map(|last| {
        let shown = u64::try_from(objects.len()).unwrap_or(u64::MAX);
        let remaining = remaining.map(|remaining| remaining.saturating_sub(shown));
        Token::new(Some(version), last.key(), remaining)
    });
    Page { objects, version, next }
}

/// Reads a page from the store as it was.
async fn from_history(
    server: &Server,
    resource: &Resource,
    options: &ListOptions,
    version: Version,
) -> Result<Page, Failure> {
    let limit = options.limit.unwrap_or(usize::MAX);
    let mut after = options.token.as_ref().map(|token| token.after.clone());
    let mut objects = Vec::new();
    loop {
        let read = resource.list_at(server.store(), version, after.as_deref(), STORE_PAGE).await;
        let (read, more) = match read {
            Ok(read) => read,
            Err(Error::Compacted { .. }) => return Err(expired(options, version)),
            Err(error) => return Err(error.into()),
        };
        let last = read.last().map(|object| object.key().to_string());
        let selected = read.into_iter().filter(|object| options.selection.matches(object));
        objects.extend(selected);
        if objects.len() > limit {
            objects.truncate(limit);
            let remaining = options.token.as_ref().and_then(|token| token.remaining);
            return Ok(whole_or_page(objects, version, true, remaining));
        }
        match last {
            Some(last) if more => after = Some(last),
            _ => return Ok(whole_or_page(objects, version, false, None)),
        }
    }
}

/// 410: `version` is not known any more.
pub(crate) fn expired(options: &ListOptions, version: Version) -> Failure {
    match &options.token {
        None => Failure::expired(
            format!("The resourceVersion for the provided list is too old: {version}"),
            None,
        ),
        Some(token) => Failure::expired(
            "The provided continue parameter is too old to display a consistent list result. You \
             can start a new list without the continue parameter, or use the continue token in \
             this response to retrieve the remainder of the results. Continuing with the provided \
             token results in an inconsistent list - objects that were created, modified, or \
             deleted between the time the first chunk was returned and now may show up in the list.",
            Some(Token::new(None, &token.after, None).encode()),
        ),
    }
}

/// Writes a page.
pub(crate) fn render(kind: Arc<Kind>, page: Page, wanted: Wanted) -> Response {
    let mut first = open(&kind, &page, wanted.form);
    let objects = page.objects;
    if objects.len() <= CHUNK || wanted.encoding == Encoding::Yaml {
        write_items(&kind, &objects, wanted.form, true, &mut first);
        first.extend_from_slice(b"]}");
        return answer::encoded(StatusCode::OK, wanted.encoding, first);
    }
    let chunks = objects.len().div_ceil(CHUNK);
    let encode = move |index: usize| {
        let mut out = if index == 0 { std::mem::take(&mut first) } else { Vec::new() };
        let end = objects.len().min((index + 1) * CHUNK);
        write_items(&kind, &objects[index * CHUNK..end], wanted.form, index == 0, &mut out);
        if index + 1 == chunks {
            out.extend_from_slice(b"]}");
        }
        Ok(Bytes::from(out))
    };
    let body = Body::stream(futures::stream::iter((0..chunks).map(encode)));
    answer::answer(StatusCode::OK, wanted.encoding.content_type(), body)
}

/// Everything before the items.
fn open(kind: &Kind, page: &Page, form: Form) -> Vec<u8> {
    let mut list = json!({"resourceVersion": page.version.to_string()});
    if let Some(token) = &page.next {
        list["continue"] = token.encode().into();
        if let Some(remaining) = token.remaining {
            list["remainingItemCount"] = remaining.into();
        }
    }
    let (name, api_version, items) = match form {
        Form::Object => (kind.list_kind.clone(), kind.api_version(), "items".to_owned()),
        Form::Metadata { beta } => {
            let version = if beta { "v1beta1" } else { "v1" };
            let api_version = format!("meta.k8s.io/{version}");
            ("PartialObjectMetadataList".to_owned(), api_version, "items".to_owned())
        }
        Form::Table(_) => {
            let columns = Value::from(table::table_columns(kind));
            let rows = format!("columnDefinitions\":{columns},\"rows");
            ("Table".to_owned(), "meta.k8s.io/v1".to_owned(), rows)
        }
    };
    format!(
        "{{\"kind\":\"{name}\",\"apiVersion\":\"{api_version}\",\"metadata\":{list},\"{items}\":["
    )
    .into_bytes()
}

fn write_items(kind: &Kind, objects: &[Arc<Object>], form: Form, first: bool, out: &mut Vec<u8>) {
    let now = jiff::Timestamp::now();
    for (index, object) in objects.iter().enumerate() {
        if !(first && index == 0) {
            out.push(b',');
        }
        let value = match form {
            Form::Object => {
                write_object(kind, object.body(), object.version(), form, false, out);
                continue;
            }
            Form::Metadata { beta } => metadata(&object.value(), beta),
            Form::Table(include) => table::table_row(kind, &object.value(), include, now),
        };
        serde_json::to_writer(&mut *out, &value).expect("JSON can be written to memory");
    }
}
