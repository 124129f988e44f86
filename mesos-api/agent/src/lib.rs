//! The Mesos executor API: executors written for Mesos as tasks of Meseta.
