//! Which of our crates may use which: the arrows of the design, as a table.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;

/// A crate, and what of ours it may use when it is built and, beyond that, in its tests.
struct Allowed {
    name: &'static str,
    uses: &'static [&'static str],
    tests: &'static [&'static str],
}

const fn allowed(
    name: &'static str,
    uses: &'static [&'static str],
    tests: &'static [&'static str],
) -> Allowed {
    Allowed { name, uses, tests }
}

/// Every crate of the workspace; one that is not here is a fault.
const ARROWS: &[Allowed] = &[
    allowed("meseta-crds", &[], &[]),
    allowed("meseta-store", &[], &[]),
    allowed("meseta-pki", &[], &[]),
    allowed("meseta-serve", &["meseta-pki"], &[]),
    // The certificate authority of the cluster lies in the store, so the API server makes it.
    allowed(
        "meseta-api-server",
        &["meseta-store", "meseta-crds", "meseta-serve", "meseta-pki"],
        &[],
    ),
    allowed("meseta-planning", &["meseta-crds"], &[]),
    allowed(
        "meseta-runtime",
        &["meseta-planning", "meseta-crds"],
        &["meseta-api-server", "meseta-store", "meseta-serve", "meseta-pki"],
    ),
    allowed(
        "meseta-sim",
        &["meseta-planning", "meseta-runtime", "meseta-crds"],
        &["meseta-api-server", "meseta-store", "meseta-serve", "meseta-pki"],
    ),
    allowed("meseta-mesos-wire", &[], &[]),
    allowed(
        "meseta-mesos-master",
        &["meseta-mesos-wire", "meseta-crds", "meseta-runtime", "meseta-serve"],
        &["meseta-api-server", "meseta-store", "meseta-pki", "meseta-sim"],
    ),
    allowed("meseta-mesos-agent", &["meseta-mesos-wire", "meseta-crds", "meseta-serve"], &[]),
    allowed(
        "meseta-node-agent",
        &[
            "meseta-crds",
            "meseta-serve",
            "meseta-shim-api",
            "meseta-mesos-agent",
            "meseta-mesos-wire",
        ],
        &["meseta-pki", "meseta-api-server", "meseta-store", "meseta-shim"],
    ),
    allowed("meseta-shim", &["meseta-shim-api"], &[]),
    allowed("meseta-shim-api", &[], &[]),
    allowed(
        "meseta",
        &[
            "meseta-api-server",
            "meseta-crds",
            "meseta-mesos-agent",
            "meseta-mesos-master",
            "meseta-mesos-wire",
            "meseta-node-agent",
            "meseta-pki",
            "meseta-planning",
            "meseta-runtime",
            "meseta-serve",
            "meseta-shim-api",
            "meseta-sim",
            "meseta-store",
        ],
        &[],
    ),
    allowed("meseta-e2e", &[], &[]),
    allowed("xtask", &["meseta-crds"], &[]),
];

/// One dependency between two crates of the workspace.
#[derive(Debug)]
pub(crate) struct Arrow {
    from: String,
    /// `None` for the crate itself: it must be in the table even if it uses nothing.
    to: Option<String>,
    only_tests: bool,
}

/// The arrows that the manifests draw.
pub(crate) fn read(root: &Path) -> anyhow::Result<Vec<Arrow>> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--no-deps", "--format-version=1"])
        .current_dir(root)
        .output()
        .context("cargo metadata")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    from_metadata(&serde_json::from_slice(&output.stdout)?)
}

fn from_metadata(metadata: &Value) -> anyhow::Result<Vec<Arrow>> {
    let mut arrows = Vec::new();
    for package in metadata["packages"].as_array().context("packages")? {
        let from = package["name"].as_str().context("name")?;
        arrows.push(Arrow { from: from.to_owned(), to: None, only_tests: false });
        for dependency in package["dependencies"].as_array().context("dependencies")? {
            if dependency["path"].is_string() {
                arrows.push(Arrow {
                    from: from.to_owned(),
                    to: dependency["name"].as_str().map(str::to_owned),
                    only_tests: dependency["kind"] == "dev",
                });
            }
        }
    }
    Ok(arrows)
}

/// One sentence for each arrow that is not allowed.
pub(crate) fn faults(arrows: &[Arrow]) -> Vec<String> {
    let fault = |arrow: &Arrow| {
        let Some(row) = ARROWS.iter().find(|row| row.name == arrow.from) else {
            return Some(format!("{} is not in the table of xtask/src/arrows.rs", arrow.from));
        };
        let to = arrow.to.as_deref()?;
        let ok = row.uses.contains(&to) || (arrow.only_tests && row.tests.contains(&to));
        (!ok).then(|| format!("{} must not depend on {to}", arrow.from))
    };
    arrows.iter().filter_map(fault).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(from: &str, to: &str, kind: &Value) -> Vec<String> {
        let metadata = json!({"packages": [
            {"name": from, "dependencies": [
                {"name": to, "path": "/x", "kind": kind},
                {"name": "serde", "path": null, "kind": null},
            ]},
        ]});
        faults(&from_metadata(&metadata).unwrap())
    }

    #[test]
    fn allowed_arrows_pass() {
        assert_eq!(check("meseta-planning", "meseta-crds", &Value::Null), [""; 0]);
        assert_eq!(check("meseta-runtime", "meseta-store", &json!("dev")), [""; 0]);
    }

    #[test]
    fn others_are_named() {
        assert_eq!(
            check("meseta-planning", "meseta-store", &Value::Null),
            ["meseta-planning must not depend on meseta-store"]
        );
        assert_eq!(
            check("meseta-runtime", "meseta-store", &Value::Null),
            ["meseta-runtime must not depend on meseta-store"]
        );
        assert_eq!(check("meseta-e2e", "meseta-crds", &json!("dev")).len(), 1);
    }

    #[test]
    fn a_crate_that_nobody_thought_of_is_named() {
        assert_eq!(check("meseta-new", "meseta-crds", &Value::Null).len(), 2);
    }
}
