//! Skeleton.
pub mod agent_lifecycle;
pub mod framework;
pub mod retention;
