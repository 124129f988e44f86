//! The records in a YAML or JSON text.

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize as _;
use serde_json::Value;

/// The records of the files, in order; `-` is stdin.
pub(crate) fn read(files: &[String]) -> Result<Vec<Value>> {
    let mut records = Vec::new();
    for file in files {
        let text = if file == "-" {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("cannot read stdin")?;
            text
        } else {
            std::fs::read_to_string(Path::new(file))
                .with_context(|| format!("cannot read {file}"))?
        };
        records.extend(parse(&text).with_context(|| format!("cannot use {file}"))?);
    }
    if records.is_empty() {
        bail!("there is no record in {}", files.join(", "));
    }
    Ok(records)
}

/// The records of one text: YAML documents; the items of a `List` count as records.
fn parse(text: &str) -> Result<Vec<Value>> {
    let mut records = Vec::new();
    for (index, document) in serde_yaml::Deserializer::from_str(text).enumerate() {
        let place = || format!("document {}", index + 1);
        // By way of YAML's own value, which refuses a key that is given twice.
        let value = serde_yaml::Value::deserialize(document).with_context(place)?;
        if value.is_null() {
            continue;
        }
        let value: Value = serde_json::to_value(value).with_context(place)?;
        flatten(value, &mut records).with_context(place)?;
    }
    Ok(records)
}

fn flatten(value: Value, records: &mut Vec<Value>) -> Result<()> {
    for field in ["apiVersion", "kind"] {
        if !value[field].is_string() {
            bail!("`{field}` is missing, or not a string");
        }
    }
    if value["kind"] == "List" {
        let Value::Object(mut list) = value else { bail!("a List must be an object") };
        if let Some(Value::Array(items)) = list.remove("items") {
            return items.into_iter().try_for_each(|item| flatten(item, records));
        }
        return Ok(());
    }
    if value["metadata"]["name"].as_str().is_none_or(str::is_empty) {
        bail!("`metadata.name` is missing in a {}", value["kind"]);
    }
    records.push(value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Result<String> {
        let records = parse(text)?;
        let names = records.iter().filter_map(|record| record["metadata"]["name"].as_str());
        Ok(names.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn documents_lists_and_json_are_records() {
        let text = "# a comment\n---\napiVersion: v1\nkind: A\nmetadata: {name: a}\n---\n---\n\
            apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: B, metadata: {name: b}}\n\
            - {apiVersion: v1, kind: B, metadata: {name: c}}\n";
        assert_eq!(names(text).unwrap(), "a b c");
        assert_eq!(
            names(r#"{"apiVersion":"v1","kind":"A","metadata":{"name":"j"}}"#).unwrap(),
            "j"
        );
        assert_eq!(names("").unwrap(), "");
    }

    #[test]
    fn what_is_missing_or_wrong_is_named_with_its_document() {
        let check = |text: &str, words: &[&str]| {
            let error = format!("{:#}", names(text).unwrap_err());
            assert!(words.iter().all(|word| error.contains(word)), "{error}");
        };
        check("kind: A", &["document 1", "apiVersion"]);
        check("apiVersion: v1\nkind: A", &["document 1", "metadata.name"]);
        check("apiVersion: v1\nkind: A\nmetadata: {name: a}\n---\na: [", &["document 2", "line"]);
        check("apiVersion: v1\napiVersion: v2\nkind: A", &["document 1", "duplicate"]);
    }
}
