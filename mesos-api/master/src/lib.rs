//! The Mesos scheduler API: schedulers written for Mesos as frameworks of Meseta.
