//! Where the programs under test and the tools are.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::process::run;

/// Fetching kubectl, 38 MB, where the cache does not hold it yet.
const FETCH_DEADLINE: Duration = Duration::from_secs(300);

/// Paths of programs; all of them exist.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// `meseta`, from the build that made this test.
    pub(crate) meseta: PathBuf,
    /// The pinned kubectl of `scripts/tools`.
    pub(crate) kubectl: PathBuf,
    /// The etcd server.
    pub(crate) etcd: PathBuf,
}

impl Programs {
    /// Finds them once per process.
    ///
    /// # Errors
    /// One is missing; the message says how to get it.
    pub(crate) fn find() -> Result<&'static Self> {
        static FOUND: OnceLock<Result<Programs, String>> = OnceLock::new();
        let found = FOUND.get_or_init(|| Self::look().map_err(|error| format!("{error:#}")));
        found.as_ref().map_err(|error| anyhow::anyhow!("{error}"))
    }

    fn look() -> Result<Self> {
        // target/debug/deps/it-<hash> → target/debug
        let test = std::env::current_exe().context("cannot find this program")?;
        let built = test.ancestors().nth(2).context("a test lies in target/<profile>/deps")?;
        let ours = |name: &str| {
            let path = built.join(name);
            ensure!(
                path.is_file(),
                "{} is missing; build it with `cargo build -p meseta -p meseta-shim`",
                path.display()
            );
            Ok(path)
        };
        let tools =
            run(&mut Command::new(repository().join("scripts/tools")), None, FETCH_DEADLINE)?;
        let tools = tools.success().context("cannot get kubectl")?;
        // Found by the agent itself, where it is found here.
        ours("meseta-shim")?;
        Ok(Self {
            meseta: ours("meseta")?,
            kubectl: Path::new(tools.trim()).join("kubectl"),
            etcd: etcd_bin_vendored::etcd_bin_path()
                .context("no etcd server for this machine")?
                .to_owned(),
        })
    }
}

/// The root of the repository.
#[must_use]
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in a repository")
}
