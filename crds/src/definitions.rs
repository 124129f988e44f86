//! The CustomResourceDefinitions of all stored kinds, in the order they are listed everywhere.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use crate::{Agent, Framework, FrameworkRole, Task};

/// One definition per stored kind.
#[must_use]
pub fn all() -> Vec<CustomResourceDefinition> {
    vec![Agent::crd(), Framework::crd(), FrameworkRole::crd(), Task::crd()]
}
