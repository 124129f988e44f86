//! Automation that needs the project's own types: `cargo xtask generate`, `cargo xtask check`.
#![expect(clippy::print_stdout, reason = "a program for people and CI")]

mod arrows;
mod generate;
mod purity;

use std::path::Path;

use anyhow::{Context as _, bail};

const USAGE: &str = "\
usage: cargo xtask <command>

  generate   write crds/yaml and the templates of charts/meseta-crds from the Rust types
  check      fail on generated files that are out of date, on a dependency arrow that the design
             does not allow, and on clocks, I/O or async in controllers/planning";

fn main() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the root")?;
    match std::env::args().nth(1).as_deref() {
        Some("generate") => {
            for (path, text) in generate::files()? {
                let path = root.join(path);
                if std::fs::read_to_string(&path).ok().as_deref() != Some(text.as_str()) {
                    std::fs::create_dir_all(path.parent().context("a file has a folder")?)?;
                    std::fs::write(&path, text)?;
                    println!("wrote {}", path.display());
                }
            }
            Ok(())
        }
        Some("check") => {
            let mut faults = arrows::faults(&arrows::read(root)?);
            faults.extend(purity::faults_beneath(&root.join("controllers/planning/src"))?);
            faults.extend(generate::stale(root)?);
            if faults.is_empty() {
                println!("arrows, planning and generated files are as they must be");
                return Ok(());
            }
            bail!("{} faults:\n  {}", faults.len(), faults.join("\n  "));
        }
        _ => bail!("{USAGE}"),
    }
}
