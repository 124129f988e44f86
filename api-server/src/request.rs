//! What a request asks for, read from its method, path, query and headers.
//!
//! Pure: a request is either understood as a whole here or refused with the `Status` that says
//! why, before anything is read or written.

pub(crate) mod media;
pub(crate) mod params;
pub(crate) mod path;
pub(crate) mod verb;
