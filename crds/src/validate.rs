//! Checks that turn a spec into every field error at once.
