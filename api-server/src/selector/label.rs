//! Label selectors: `app=web,tier in (a,b),!canary,replicas>3`.

use serde_json::Value;

use crate::syntax::{label_value_faults, qualified_name_faults};

/// Requirements on labels, all of which must hold; none matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LabelSelector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Exists,
    Absent,
    /// Present with one of the values.
    In(Vec<String>),
    /// Absent, or present with none of the values.
    NotIn(Vec<String>),
    Above(i64),
    Below(i64),
}

impl LabelSelector {
    /// # Errors
    /// What was found where something else is expected, as Kubernetes says it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        Parser { tokens: scan(text), next: 0 }.selector().map(Self)
    }

    /// Whether `labels`, the `metadata.labels` of an object, meet every requirement.
    pub(crate) fn matches(&self, labels: Option<&Value>) -> bool {
        let labels = labels.and_then(Value::as_object);
        self.0.iter().all(|requirement| {
            let value = labels.and_then(|labels| labels.get(&requirement.key));
            requirement.test.holds(value.and_then(Value::as_str))
        })
    }

    /// Whether it matches everything.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Test {
    fn holds(&self, value: Option<&str>) -> bool {
        let among =
            |values: &[String]| value.is_some_and(|v| values.iter().any(|other| other == v));
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match self {
            Self::Exists => value.is_some(),
            Self::Absent => value.is_none(),
            Self::In(values) => among(values),
            Self::NotIn(values) => !among(values),
            Self::Above(bound) => number().is_some_and(|number| number > *bound),
            Self::Below(bound) => number().is_some_and(|number| number < *bound),
        }
    }
}

/// A run of characters between white space and symbols, or one of the symbols
/// `( ) , ! = == != < >`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Symbol(&'a str),
}

impl<'a> Token<'a> {
    fn text(token: Option<Self>) -> &'a str {
        match token {
            Some(Self::Word(text) | Self::Symbol(text)) => text,
            None => "",
        }
    }
}

fn scan(text: &str) -> Vec<Token<'_>> {
    let is_symbol = |c: char| "=!(),<>".contains(c);
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let token = if is_symbol(first) {
            let length = if rest.starts_with("==") || rest.starts_with("!=") { 2 } else { 1 };
            Token::Symbol(&rest[..length])
        } else {
            let end = rest.find(|c: char| is_symbol(c) || c.is_whitespace());
            Token::Word(&rest[..end.unwrap_or(rest.len())])
        };
        tokens.push(token);
        rest = rest[Token::text(Some(token)).len()..].trim_start();
    }
    tokens
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    next: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<Token<'a>> {
        self.tokens.get(self.next).copied()
    }

    fn take(&mut self) -> Option<Token<'a>> {
        let token = self.peek();
        self.next += 1;
        token
    }

    fn selector(mut self) -> Result<Vec<Requirement>, String> {
        let mut requirements = Vec::new();
        loop {
            match self.peek() {
                None => return Ok(requirements),
                Some(Token::Word(_) | Token::Symbol("!")) => {}
                other => {
                    let found = Token::text(other);
                    return Err(format!(
                        "found '{found}', expected: !, identifier, or 'end of string'"
                    ));
                }
            }
            let requirement = self.requirement();
            requirements
                .push(requirement.map_err(|why| format!("unable to parse requirement: {why}"))?);
            match self.take() {
                None => return Ok(requirements),
                Some(Token::Symbol(",")) => match self.peek() {
                    Some(Token::Word(_) | Token::Symbol("!")) => {}
                    other => {
                        let found = Token::text(other);
                        return Err(format!("found '{found}', expected: identifier after ','"));
                    }
                },
                other => {
                    let found = Token::text(other);
                    return Err(format!("found '{found}', expected: ',' or 'end of string'"));
                }
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let negated = self.peek() == Some(Token::Symbol("!"));
        if negated {
            self.next += 1;
        }
        let key = match self.take() {
            Some(Token::Word(key)) => key.to_owned(),
            other => return Err(format!("found '{}', expected: identifier", Token::text(other))),
        };
        if let Some(fault) = qualified_name_faults(&key).first() {
            return Err(format!("key: Invalid value: {key:?}: {fault}"));
        }
        if negated {
            return Ok(Requirement { key, test: Test::Absent });
        }
        if matches!(self.peek(), None | Some(Token::Symbol(","))) {
            return Ok(Requirement { key, test: Test::Exists });
        }
        let test = self.test(&key)?;
        Ok(Requirement { key, test })
    }

    fn test(&mut self, key: &str) -> Result<Test, String> {
        let operator = self.take();
        match operator {
            Some(Token::Word("in")) => Ok(Test::In(checked(key, self.values()?)?)),
            Some(Token::Word("notin")) => Ok(Test::NotIn(checked(key, self.values()?)?)),
            Some(Token::Symbol("=" | "==")) => Ok(Test::In(checked(key, vec![self.value()?])?)),
            Some(Token::Symbol("!=")) => Ok(Test::NotIn(checked(key, vec![self.value()?])?)),
            Some(Token::Symbol(">")) => Ok(Test::Above(integer(&self.value()?)?)),
            Some(Token::Symbol("<")) => Ok(Test::Below(integer(&self.value()?)?)),
            other => {
                let found = Token::text(other);
                Err(format!("found '{found}', expected: in, notin, =, ==, !=, gt, lt"))
            }
        }
    }

    /// One value; the empty one where the requirement ends here.
    fn value(&mut self) -> Result<String, String> {
        match self.peek() {
            None | Some(Token::Symbol(",")) => Ok(String::new()),
            Some(Token::Word(value)) => {
                self.next += 1;
                Ok(value.to_owned())
            }
            other => Err(format!("found '{}', expected: identifier", Token::text(other))),
        }
    }

    /// Values between parentheses; nothing before, between or after commas is the empty value.
    fn values(&mut self) -> Result<Vec<String>, String> {
        match self.take() {
            Some(Token::Symbol("(")) => {}
            other => return Err(format!("found '{}' expected: '('", Token::text(other))),
        }
        let mut values = Vec::new();
        loop {
            match self.peek() {
                Some(Token::Word(value)) => {
                    self.next += 1;
                    values.push(value.to_owned());
                }
                Some(Token::Symbol("," | ")")) => values.push(String::new()),
                other => {
                    let found = Token::text(other);
                    return Err(format!("found '{found}', expected: ',', ')' or identifier"));
                }
            }
            match self.take() {
                Some(Token::Symbol(",")) => {}
                Some(Token::Symbol(")")) => return Ok(values),
                other => {
                    return Err(format!("found '{}', expected: ',' or ')'", Token::text(other)));
                }
            }
        }
    }
}

fn checked(key: &str, values: Vec<String>) -> Result<Vec<String>, String> {
    for (index, value) in values.iter().enumerate() {
        if let Some(fault) = label_value_faults(value).first() {
            return Err(format!("values[{index}][{key}]: Invalid value: {value:?}: {fault}"));
        }
    }
    Ok(values)
}

fn integer(value: &str) -> Result<i64, String> {
    value.parse().map_err(|_| {
        format!(
            "values[0]: Invalid value: {value:?}: for 'Gt', 'Lt' operators, the value must be an \
             integer"
        )
    })
}
