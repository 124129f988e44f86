//! The JSON paths of printer columns: `.status.conditions[?(@.type=="Ready")].status`.
//!
//! The part of `k8s.io/client-go/util/jsonpath` that definitions use: names (`.a`, `['a.b']`, with
//! `\` before a dot that belongs to a name), indexes (from the end where negative), `*`, and
//! filters that compare a field of each item with a literal.

use serde_json::Value;

/// A parsed path.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct JsonPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Name(Box<str>),
    /// Position in a list; -1 is the last.
    Index(i64),
    /// Every item of a list or value of a map.
    Every,
    Filter(Filter),
}

/// Items whose value at `path` equals, or does not equal, `literal`; without a literal, those that
/// have a value there.
#[derive(Clone, Debug, PartialEq)]
struct Filter {
    path: JsonPath,
    equal: bool,
    literal: Option<Value>,
}

impl JsonPath {
    /// None where the text is no path of the kind described above.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
        let mut rest = text.strip_prefix('$').unwrap_or(text);
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = match rest.strip_prefix('[') {
                Some(inside) => bracketed(inside)?,
                None => named(rest.strip_prefix('.')?)?,
            };
            steps.push(step);
            rest = after;
        }
        Some(Self(steps))
    }

    /// The first value at the path.
    pub(super) fn first<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        first(&self.0, value)
    }
}

fn first<'a>(steps: &[Step], value: &'a Value) -> Option<&'a Value> {
    let Some((step, rest)) = steps.split_first() else { return Some(value) };
    match step {
        Step::Name(name) => first(rest, value.get(&**name)?),
        Step::Index(index) => {
            let items = value.as_array()?;
            let from_end = || items.len().checked_sub(usize::try_from(index.unsigned_abs()).ok()?);
            let index = usize::try_from(*index).ok().or_else(from_end)?;
            first(rest, items.get(index)?)
        }
        Step::Every => match value {
            Value::Array(items) => items.iter().find_map(|item| first(rest, item)),
            Value::Object(fields) => fields.values().find_map(|value| first(rest, value)),
            _ => None,
        },
        Step::Filter(filter) => {
            let mut items = value.as_array()?.iter().filter(|item| filter.holds(item));
            items.find_map(|item| first(rest, item))
        }
    }
}

impl Filter {
    fn holds(&self, item: &Value) -> bool {
        match (&self.literal, self.path.first(item)) {
            (Some(literal), Some(value)) => (value == literal) == self.equal,
            (None, Some(_)) => true,
            (_, None) => false,
        }
    }
}

/// A name up to the next dot or bracket, and what follows.
fn named(text: &str) -> Option<(Step, &str)> {
    let mut name = String::new();
    let mut characters = text.char_indices();
    let mut end = text.len();
    while let Some((at, character)) = characters.next() {
        match character {
            '.' | '[' => {
                end = at;
                break;
            }
            '\\' => name.push(characters.next()?.1),
            _ => name.push(character),
        }
    }
    let step = match name.as_str() {
        "" => return None,
        "*" => Step::Every,
        _ => Step::Name(name.into()),
    };
    Some((step, &text[end..]))
}

/// What stands in brackets, of which the first is already taken, and what follows them.
fn bracketed(text: &str) -> Option<(Step, &str)> {
    if let Some(filter) = text.strip_prefix("?(") {
        let end = closing(filter, ")]")?;
        return Some((Step::Filter(parse_filter(&filter[..end])?), &filter[end + 2..]));
    }
    let end = closing(text, "]")?;
    let inside = text[..end].trim();
    let step = if inside == "*" {
        Step::Every
    } else if let Some(Value::String(name)) = literal(inside) {
        Step::Name(name.into())
    } else {
        Step::Index(inside.parse().ok()?)
    };
    Some((step, &text[end + 1..]))
}

/// Where `close` stands outside quotes.
fn closing(text: &str, close: &str) -> Option<usize> {
    let mut quote = None;
    for (at, character) in text.char_indices() {
        match (quote, character) {
            (None, '\'' | '"') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            (None, _) if text[at..].starts_with(close) => return Some(at),
            _ => {}
        }
    }
    None
}

fn parse_filter(text: &str) -> Option<Filter> {
    let path = |text: &str| JsonPath::parse(text.trim().strip_prefix('@')?);
    let filter = if let Some((left, right)) = text.split_once("==") {
        Filter { path: path(left)?, equal: true, literal: Some(literal(right.trim())?) }
    } else if let Some((left, right)) = text.split_once("!=") {
        Filter { path: path(left)?, equal: false, literal: Some(literal(right.trim())?) }
    } else {
        Filter { path: path(text)?, equal: true, literal: None }
    };
    Some(filter)
}

/// A number, `true`, `false`, or text in either quotes.
fn literal(text: &str) -> Option<Value> {
    for quote in ['\'', '"'] {
        if let Some(inside) = text.strip_prefix(quote) {
            return Some(inside.strip_suffix(quote)?.into());
        }
    }
    serde_json::from_str(text).ok().filter(|value: &Value| value.is_number() || value.is_boolean())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::JsonPath;

    #[track_caller]
    fn finds(path: &str, expected: &Value) {
        let object = json!({
            "metadata": { "labels": { "x.io/y": "lab" } },
            "spec": { "l": ["p", "q"], "s": "text" },
            "status": {
                "conditions": [
                    { "type": "Other", "status": "1", "n": 2 },
                    { "type": "Ready", "status": "True" },
                ],
            },
        });
        let path = JsonPath::parse(path).unwrap();
        assert_eq!(path.first(&object).unwrap_or(&Value::Null), expected);
    }

    #[test]
    fn paths_of_printer_columns_find_their_value() {
        finds(".spec.s", &json!("text"));
        finds(".spec.l[0]", &json!("p"));
        finds(".spec.l[-1]", &json!("q"));
        finds(".spec.l[*]", &json!("p"));
        finds(".spec.l[7]", &Value::Null);
        finds(".spec.s[0]", &Value::Null);
        finds(".status.conditions[?(@.type==\"Ready\")].status", &json!("True"));
        finds(".status.conditions[?(@.type=='Ready')].status", &json!("True"));
        finds(".status.conditions[?(@.type!='Ready')].status", &json!("1"));
        finds(".status.conditions[?(@.n==2)].type", &json!("Other"));
        finds(".status.conditions[?(@.n)].type", &json!("Other"));
        finds(".status.conditions[?(@.type=='None')].status", &Value::Null);
        finds(".status.conditions[*].n", &json!(2));
        finds(".metadata.labels.x\\.io/y", &json!("lab"));
        finds("{.metadata.labels['x.io/y']}", &json!("lab"));
        finds(".none.deep", &Value::Null);
    }

    #[test]
    fn other_texts_are_no_paths() {
        for text in ["spec.a", ".a[", ".a[?(@.b==)]", ".a[?(@.b=='x]", "..", ".a[x]", ".a\\"] {
            assert_eq!(JsonPath::parse(text), None, "{text}");
        }
    }
}
