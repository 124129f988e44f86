//! The promises of Meseta, one file each, seen from outside.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

/// Runs each test once per store, as `embedded::<name>` and `etcd::<name>`.
macro_rules! on_both_stores {
    ($($test:ident),+ $(,)?) => {
        mod embedded {
            $(#[test]
            fn $test() {
                super::$test(meseta_e2e::StoreKind::Embedded);
            })+
        }
        mod etcd {
            $(#[test]
            fn $test() {
                super::$test(meseta_e2e::StoreKind::Etcd);
            })+
        }
    };
}

mod absence;
mod bad_input;
mod deletion;
mod faults;
mod frameworks;
mod hosts;
mod images;
mod kills;
mod leaders;
mod mesos;
mod records;
mod restarts;
mod stores;
mod tasks;
mod trust;
mod verbs;
mod yaml;
