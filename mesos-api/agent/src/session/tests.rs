//! The session of one executor: scenarios as scripts, a file for each rule, and random histories.

mod endings;
mod handover;
mod kills;
mod messages;
mod model;
mod script;
mod subscribing;
mod updates;
