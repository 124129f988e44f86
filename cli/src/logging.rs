//! Diagnostics on stderr.

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// What is said on stderr, and how.
#[derive(Clone, Debug, Args)]
pub(crate) struct LogArgs {
    /// Least level, or a filter such as `info,meseta_store=debug`; RUST_LOG does the same.
    #[arg(long, global = true, value_name = "LEVEL", env = "RUST_LOG", hide_env_values = true)]
    log_level: Option<String>,
    /// Form of the lines.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl LogArgs {
    /// Starts logging; a role says more than a verb when nothing is asked for.
    pub(crate) fn start(&self, role: bool) -> anyhow::Result<()> {
        // kube logs each refusal as an error; whoever asked handles it.
        let default = if role { "info,kube_client=off" } else { "error,kube_client=off" };
        let filter = self.log_level.as_deref().filter(|level| !level.is_empty()).unwrap_or(default);
        let filter = EnvFilter::try_new(filter)
            .with_context(|| format!("`{filter}` is not a log level or filter"))?;
        let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        match self.log_format {
            LogFormat::Text => {
                lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init();
            }
            LogFormat::Json => lines.json().init(),
        }
        Ok(())
    }
}
