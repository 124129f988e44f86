//! The cluster's certificate authority, kept in the store so that all control planes have the same.

use bytes::Bytes;
use meseta_pki::CertificateAuthority;
use meseta_store::{Change, Expect, Store};
use serde::{Deserialize, Serialize};

use crate::Error;

/// Its key: outside of the records, where no API request reaches.
const KEY: &str = "/meseta/authority";

/// What is stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    certificate_pem: String,
    key_pem: String,
}

/// The cluster's certificate authority. A store that has none gets `kept`, if that is given (from
/// before the store was lost, so that agents go on trusting it), or a new one. Of two control
/// planes that start at once one is faster, and both get its authority.
///
/// # Errors
/// [`Error::Store`]; [`Error::Authority`] where what is stored cannot be read.
pub async fn authority(
    store: &dyn Store,
    kept: Option<&CertificateAuthority>,
) -> Result<CertificateAuthority, Error> {
    if let Some(record) = store.get(KEY).await? {
        return read(&record.value);
    }
    let stored = match kept {
        Some(kept) => Stored::of(kept),
        None => Stored::of(&CertificateAuthority::generate()?),
    };
    let value = serde_json::json!(stored).to_string();
    let change = Change::Put { value: value.into(), lease: None };
    match store.write(KEY, Expect::Absent, change).await {
        Ok(_) => stored.load(),
        Err(meseta_store::Error::Conflict { current: Some(record) }) => read(&record.value),
        Err(error) => Err(error.into()),
    }
}

fn read(value: &Bytes) -> Result<CertificateAuthority, Error> {
    let stored: Stored = serde_json::from_slice(value).map_err(|error| {
        let why = error.to_string();
        meseta_store::Error::Corrupt { key: KEY.to_owned(), why }
    })?;
    stored.load()
}

impl Stored {
    fn of(authority: &CertificateAuthority) -> Self {
        Self {
            certificate_pem: authority.certificate_pem().to_owned(),
            key_pem: authority.key_pem(),
        }
    }

    fn load(&self) -> Result<CertificateAuthority, Error> {
        Ok(CertificateAuthority::from_pem(&self.certificate_pem, &self.key_pem)?)
    }
}
