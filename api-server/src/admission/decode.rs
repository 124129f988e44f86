//! Bodies into objects.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize as _;
use serde_json::{Map, Value};

use super::beginning;
use crate::registry::Kind;
use crate::request::media::BodyType;
use crate::status::{Cause, Failure};

/// Bytes of a body that a refusal quotes, as kube-apiserver's.
const QUOTED_BYTES: usize = 30;

/// Reads a body as JSON or YAML; the error is for people.
///
/// # Errors
/// What the parser says.
pub(crate) fn parse(body: &[u8], body_type: BodyType) -> Result<Value, String> {
    match body_type {
        BodyType::Json if body.is_empty() => Err("unexpected end of JSON input".to_owned()),
        BodyType::Json => serde_json::from_slice(body).map_err(|error| error.to_string()),
        BodyType::Yaml => serde_yaml::from_slice(body).map_err(|error| format!("yaml: {error}")),
    }
}

/// Reads the body of a create or an update as an object of the kind.
///
/// # Errors
/// 400 for what is no object, or none of this group and version; 422 for another custom kind.
pub(crate) fn decode(kind: &Kind, body: &[u8], body_type: BodyType) -> Result<Value, Failure> {
    let unrecognized = |why: &str| {
        Failure::bad_request(format!(
            "the object provided is unrecognized (must be of type {}): {why} ({})",
            kind.kind,
            quoted(body)
        ))
    };
    let mut value = parse(body, body_type).map_err(|why| {
        unrecognized(&format!("couldn't get version/kind; json parse error: {why}"))
    })?;
    match &mut value {
        Value::Object(object) => {
            if !kind.custom {
                name_type(kind, object);
            }
        }
        Value::Null => return Err(unrecognized("Object 'Kind' is missing in 'null'")),
        _ => return Err(unrecognized("couldn't get version/kind; json parse error: no object")),
    }
    if value.get("kind").and_then(Value::as_str).is_none_or(str::is_empty) {
        let why = format!("Object 'Kind' is missing in '{}'", quoted(body));
        return Err(unrecognized(&why));
    }
    check_type(kind, &value)?;
    Ok(value)
}

/// Fills in the type, which a body for a built-in kind may leave out.
fn name_type(kind: &Kind, object: &mut Map<String, Value>) {
    for (name, text) in [("apiVersion", kind.api_version()), ("kind", kind.kind.clone())] {
        let member = object.entry(name).or_insert(Value::Null);
        if member.is_null() || member.as_str() == Some("") {
            *member = text.into();
        }
    }
}

/// Whether an object is of the kind, and its metadata of the shape of metadata.
///
/// # Errors
/// 400, or 422 for another custom kind.
pub(super) fn check_type(kind: &Kind, object: &Value) -> Result<(), Failure> {
    let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
    let (own_version, own_kind) = (kind.api_version(), kind.kind.as_str());
    let (sent_version, sent_kind) = (text("apiVersion"), text("kind"));
    let cannot = |why: String| {
        let version = sent_version.rsplit('/').next().unwrap_or_default();
        Failure::bad_request(format!(
            "{sent_kind} in version {version:?} cannot be handled as a {own_kind}: {why}"
        ))
    };
    if sent_version != own_version {
        return Err(if kind.custom {
            Failure::bad_request(format!(
                "the API version in the data ({sent_version}) does not match the expected API \
                 version ({own_version})"
            ))
        } else {
            let why = format!("no kind {sent_kind:?} is registered for version {sent_version:?}");
            cannot(why)
        });
    }
    if sent_kind != own_kind {
        if !kind.custom {
            return Err(cannot("unknown conversion".to_owned()));
        }
        let cause = Cause::invalid("kind", &Value::from(sent_kind), &format!("must be {own_kind}"));
        let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        return Err(Failure::invalid_type(&kind.group, sent_kind, name, vec![cause]));
    }
    match object.get("metadata") {
        None | Some(Value::Null) => Ok(()),
        Some(metadata) => match ObjectMeta::deserialize(metadata) {
            Ok(_) => Ok(()),
            Err(error) => Err(cannot(format!("metadata: {error}"))),
        },
    }
}

fn quoted(body: &[u8]) -> String {
    match std::str::from_utf8(body) {
        Ok("") => "<empty>".to_owned(),
        Ok(text) if text.len() <= QUOTED_BYTES => text.to_owned(),
        Ok(text) => {
            format!("{} ...", beginning(text, QUOTED_BYTES))
        }
        Err(_) => "<binary>".to_owned(),
    }
}
