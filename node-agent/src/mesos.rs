//! Tasks that came through the Mesos API: what their schedulers are told, and what executors run.

pub(crate) mod status;
pub(crate) mod updates;
