//! Files made from the Rust types: the definitions as YAML, and as templates of their chart.

use std::path::Path;

use anyhow::{Context as _, ensure};
use meseta_crds::definitions;

const HEADER: &str = "# Generated from crds/src by `cargo xtask generate`; do not edit.\n";
/// Where an annotation goes into a definition.
const METADATA: &str = "\nmetadata:\n";
const KEEP: &str = "\nmetadata:\n  {{- if .Values.keep }}\n  annotations:\n    \
    helm.sh/resource-policy: keep\n  {{- end }}\n";

/// Path from the root and text of every generated file.
pub(crate) fn files() -> anyhow::Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for definition in definitions::all() {
        let plural = &definition.spec.names.plural;
        let yaml = serde_yaml::to_string(&definition)?;
        ensure!(!yaml.contains("{{"), "{plural} has a text that Helm would take for a template");
        ensure!(yaml.matches(METADATA).count() == 1, "{plural} has not one place for annotations");
        files.push((
            format!("charts/meseta-crds/templates/{plural}.yaml"),
            format!("{HEADER}{}", yaml.replace(METADATA, KEEP)),
        ));
        files.push((format!("crds/yaml/{plural}.yaml"), format!("{HEADER}{yaml}")));
    }
    Ok(files)
}

/// One sentence for each file that differs from what would be generated.
pub(crate) fn stale(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    for (path, text) in files().context("generate")? {
        if std::fs::read_to_string(root.join(&path)).ok().as_deref() != Some(text.as_str()) {
            faults.push(format!("{path} is out of date: run `cargo xtask generate`"));
        }
    }
    Ok(faults)
}
