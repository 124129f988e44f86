//! What every store promises, test by test, each against each store.

/// Runs each test against each store.
macro_rules! against_all {
    ($($test:ident)*) => {
        mod memory { $(#[tokio::test(flavor = "multi_thread")] async fn $test() {
            use crate::stores::{Kind, Subject};
            super::$test(Subject::new(Kind::Memory).await).await;
        })* }
        mod embedded { $(#[tokio::test(flavor = "multi_thread")] async fn $test() {
            use crate::stores::{Kind, Subject};
            super::$test(Subject::new(Kind::Embedded).await).await;
        })* }
        mod etcd { $(#[tokio::test(flavor = "multi_thread")] async fn $test() {
            use crate::stores::{Kind, Subject};
            super::$test(Subject::new(Kind::Etcd).await).await;
        })* }
    };
}

mod history;
mod leases;
mod records;
mod watches;
