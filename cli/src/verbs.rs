//! The verbs for people, one module each.

pub(crate) mod agent_kubeconfig;
pub(crate) mod apply;
pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod logs;
pub(crate) mod wait;
pub(crate) mod why;
