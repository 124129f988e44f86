//! Amounts of resources as Kubernetes writes them: `500m`, `2`, `64Mi`, `1.5Gi`.
//!
//! The text is kept as it was written; [`Quantity::millis`] is the number that decisions use.
//! Syntax: <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

/// Amounts by resource name: `cpu` (cores), `memory` and `disk` (bytes), `gpu` (devices), or a
/// qualified name such as `example.com/licence` (a count).
pub type ResourceList = BTreeMap<String, Quantity>;

/// One amount, kept as written. Never negative once validated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Quantity(String);

/// Why a text is not an amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not an amount: use a number with an optional suffix \
     (m, k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi, Ei), such as 500m or 64Mi"
)]
pub struct ParseQuantityError(String);

impl Quantity {
    /// Keeps `text` as it is; [`Self::millis`] says whether it is an amount.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The shortest text for a count of thousandths: `500m`, `2`.
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        if millis % 1000 == 0 {
            Self((millis / 1000).to_string())
        } else {
            Self(format!("{millis}m"))
        }
    }

    /// A whole number of bytes, with the largest binary suffix that keeps it exact.
    #[must_use]
    pub fn from_bytes(bytes: i64) -> Self {
        const SUFFIXES: [&str; 5] = ["", "Ki", "Mi", "Gi", "Ti"];
        let mut amount = bytes;
        let mut suffix = 0;
        while amount != 0 && amount % 1024 == 0 && suffix + 1 < SUFFIXES.len() {
            amount /= 1024;
            suffix += 1;
        }
        Self(format!("{amount}{}", SUFFIXES[suffix]))
    }

    /// The text as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The amount in thousandths, rounded up; saturates at `i64::MAX`.
    ///
    /// # Errors
    /// The text is not a Kubernetes quantity.
    pub fn millis(&self) -> Result<i64, ParseQuantityError> {
        parse_millis(&self.0).ok_or_else(|| ParseQuantityError(self.0.clone()))
    }

    /// The amount in whole units (bytes, devices), rounded up; saturates.
    ///
    /// # Errors
    /// The text is not a Kubernetes quantity.
    pub fn units(&self) -> Result<i64, ParseQuantityError> {
        let exact = parse(&self.0).ok_or_else(|| ParseQuantityError(self.0.clone()))?;
        Ok(exact.rounded_up(1))
    }
}

impl std::fmt::Display for Quantity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum NumberOrText {
            Number(serde_json::Number),
            Text(String),
        }
        Ok(match NumberOrText::deserialize(deserializer)? {
            NumberOrText::Number(number) => Self(number.to_string()),
            NumberOrText::Text(text) => Self(text),
        })
    }
}

impl JsonSchema for Quantity {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Quantity".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": true,
            "pattern": r"^\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)(([KMGTPE]i)|[numkMGTPE]|([eE][-+]?[0-9]+))?$",
        })
    }
}

/// An exact non-negative amount: `digits * 10^decimal * 2^binary`.
struct Exact {
    digits: u128,
    decimal: i32,
    binary: u32,
}

impl Exact {
    /// The amount times `scale`, rounded up, saturating.
    fn rounded_up(&self, scale: u128) -> i64 {
        let saturated = |value: Option<u128>| {
            value.and_then(|value| i64::try_from(value).ok()).unwrap_or(i64::MAX)
        };
        if self.digits == 0 {
            return 0;
        }
        let scaled = self.digits.checked_mul(scale).and_then(|d| d.checked_mul(1 << self.binary));
        let Some(scaled) = scaled else { return i64::MAX };
        match (u32::try_from(self.decimal), u32::try_from(-self.decimal)) {
            (Ok(up), _) => saturated(10u128.checked_pow(up).and_then(|p| scaled.checked_mul(p))),
            (_, Ok(down)) => match 10u128.checked_pow(down) {
                Some(divisor) => saturated(Some(scaled.div_ceil(divisor))),
                None => 1,
            },
            (Err(_), Err(_)) => i64::MAX,
        }
    }
}

fn parse_millis(text: &str) -> Option<i64> {
    Some(parse(text)?.rounded_up(1000))
}

fn parse(text: &str) -> Option<Exact> {
    /// More digits than any amount needs, and few enough for exact arithmetic.
    const MAX_DIGITS: usize = 24;
    let text = text.strip_prefix('+').unwrap_or(text);
    let number_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(number_end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') || whole.len() + fraction.len() == 0 {
        return None;
    }
    let digits = format!("{whole}{fraction}");
    if digits.len() > MAX_DIGITS {
        return None;
    }
    let digits: u128 = digits.parse().ok()?;
    let fraction_digits = i32::try_from(fraction.len()).ok()?;
    let (decimal, binary) = match suffix {
        "" => (0, 0),
        "n" => (-9, 0),
        "u" => (-6, 0),
        "m" => (-3, 0),
        "k" => (3, 0),
        "M" => (6, 0),
        "G" => (9, 0),
        "T" => (12, 0),
        "P" => (15, 0),
        "E" => (18, 0),
        "Ki" => (0, 10),
        "Mi" => (0, 20),
        "Gi" => (0, 30),
        "Ti" => (0, 40),
        "Pi" => (0, 50),
        "Ei" => (0, 60),
        exponent => {
            let exponent = exponent.strip_prefix(['e', 'E'])?;
            let value: i32 = exponent.parse().ok()?;
            (value.clamp(-40, 40), 0)
        }
    };
    Some(Exact { digits, decimal: decimal - fraction_digits, binary })
}

#[cfg(test)]
mod tests;
