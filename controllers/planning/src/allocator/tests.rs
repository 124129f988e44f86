//! Scenarios as scripts with the expected answers, and properties over random histories.

mod explanations;
mod market;
mod offers;
mod portions;
mod properties;
mod scenarios;
mod script;
mod sharing;
mod taken_back;
