//! Attributes of agents, from the texts that people write.

use crate::v1::Attribute;
use crate::v1::value::{Scalar, Text, Type};

impl Attribute {
    /// The attribute of this name: a scalar where the text reads as one, as with Mesos' own agents.
    #[must_use]
    pub fn from_text(name: &str, text: &str) -> Self {
        let digits = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-');
        let scalar = text.parse::<f64>().ok().filter(|n| n.is_finite() && text.chars().all(digits));
        Self {
            name: name.to_owned(),
            r#type: if scalar.is_some() { Type::Scalar } else { Type::Text }.into(),
            text: scalar.is_none().then(|| Text { value: text.to_owned() }),
            scalar: scalar.map(|value| Scalar { value }),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_reads_as_a_number_is_a_scalar() {
        let scalar = Attribute::from_text("level", "2.5");
        assert_eq!((scalar.r#type(), scalar.scalar), (Type::Scalar, Some(Scalar { value: 2.5 })));
        for text in ["r1", "inf", "NaN", "1e5", "1.2.3", ""] {
            assert_eq!(Attribute::from_text("a", text).r#type(), Type::Text, "{text}");
        }
    }
}
