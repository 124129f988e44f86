//! Where a list goes on: the opaque token of `metadata.continue`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meseta_store::Version;
use serde::{Deserialize, Serialize};

use crate::status::Failure;

/// The form of the token; another one is refused, so that a newer server can tell.
const FORM: &str = "meseta.dev/v1";

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Token {
    #[serde(rename = "v")]
    form: String,
    /// What all pages show; `None` goes on at the newest.
    #[serde(rename = "rv")]
    version: Option<u64>,
    /// The last key of the page before.
    #[serde(rename = "k")]
    pub(crate) after: String,
    /// Objects that follow, where it is known.
    #[serde(rename = "n")]
    pub(crate) remaining: Option<u64>,
}

impl Token {
    pub(crate) fn new(version: Option<Version>, after: &str, remaining: Option<u64>) -> Self {
        let version = version.map(|version| version.0);
        Self { form: FORM.to_owned(), version, after: after.to_owned(), remaining }
    }

    pub(crate) fn version(&self) -> Option<Version> {
        self.version.map(Version)
    }

    pub(crate) fn encode(&self) -> String {
        let json = serde_json::to_vec(self).expect("texts and numbers can be encoded");
        URL_SAFE_NO_PAD.encode(json)
    }

    /// # Errors
    /// 400 for a text that no server of this form has made.
    pub(super) fn decode(text: &str) -> Result<Self, Failure> {
        let invalid = |why: String| {
            Failure::bad_request(format!(
                "invalid continue token: continue key is not valid: {why}"
            ))
        };
        let bytes = URL_SAFE_NO_PAD
            .decode(text.trim_end_matches('='))
            .map_err(|error| invalid(error.to_string()))?;
        let token: Self =
            serde_json::from_slice(&bytes).map_err(|error| invalid(error.to_string()))?;
        if token.form != FORM {
            let why = format!("server does not recognize this encoded version {}", token.form);
            return Err(invalid(why));
        }
        Ok(token)
    }
}
