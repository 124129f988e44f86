//! `meseta`: joins the parts for each role, and the verbs for people.
//!
//! Roles (`up`, `control-plane`, `agent`) run until SIGINT or SIGTERM. Verbs are clients of the API
//! server and know it through a kubeconfig only.
//!
//! **Invariant:** what people asked for goes to stdout, everything else to stderr; exit codes are
//! those of [`failure`].

mod api;
mod authority;
mod documents;
mod endpoints;
mod failure;
mod kubeconfig;
mod logging;
mod out;
mod roles;
mod table;
mod verbs;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::api::Connection;
use crate::logging::LogArgs;

/// Share one set of machines between many distributed applications.
#[derive(Debug, Parser)]
#[command(name = "meseta", version, propagate_version = true, after_help = failure::EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run everything on this machine: API server, controllers and an agent in one process.
    #[command(after_help = roles::up::EXAMPLES)]
    Up(roles::up::Args),
    /// Run a control plane: API server and controllers.
    #[command(after_help = roles::control_plane::EXAMPLES)]
    ControlPlane(roles::control_plane::Args),
    /// Run this machine's agent.
    #[command(after_help = roles::agent::EXAMPLES)]
    Agent(roles::agent::Args),
    /// Show records.
    #[command(after_help = verbs::get::EXAMPLES)]
    Get(verbs::get::Args),
    /// Create records, or change them to what a file says.
    #[command(after_help = verbs::apply::EXAMPLES)]
    Apply(verbs::apply::Args),
    /// Delete records and wait until they are gone.
    #[command(after_help = verbs::delete::EXAMPLES)]
    Delete(verbs::delete::Args),
    /// Print what a task wrote.
    #[command(after_help = verbs::logs::EXAMPLES)]
    Logs(verbs::logs::Args),
    /// Say in a sentence why something is as it is.
    #[command(after_help = verbs::why::EXAMPLES)]
    Why(verbs::why::Args),
    /// Wait until a record is as wanted.
    #[command(after_help = verbs::wait::EXAMPLES)]
    Wait(verbs::wait::Args),
    /// Write the kubeconfig with which an agent on another machine joins.
    #[command(after_help = verbs::agent_kubeconfig::EXAMPLES)]
    AgentKubeconfig(verbs::agent_kubeconfig::Args),
    /// Print a completion script for a shell.
    #[command(after_help = "Examples:\n  source <(meseta completion bash)\n  \
        meseta completion fish > ~/.config/fish/completions/meseta.fish")]
    Completion {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the version.
    #[command(after_help = "Example:\n  meseta version")]
    Version,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&error),
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    cli.log.start(matches!(cli.verb, Verb::Up(_) | Verb::ControlPlane(_) | Verb::Agent(_)))?;
    meseta_serve::install_crypto_provider();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match cli.verb {
            Verb::Up(args) => roles::up::run(args).await,
            Verb::ControlPlane(args) => roles::control_plane::run(args).await,
            Verb::Agent(args) => roles::agent::run(args).await,
            Verb::Get(args) => interruptible(verbs::get::run(args)).await,
            Verb::Apply(args) => interruptible(verbs::apply::run(args)).await,
            Verb::Delete(args) => interruptible(verbs::delete::run(args)).await,
            Verb::Logs(args) => interruptible(verbs::logs::run(args)).await,
            Verb::Why(args) => interruptible(verbs::why::run(args)).await,
            Verb::Wait(args) => interruptible(verbs::wait::run(args)).await,
            Verb::AgentKubeconfig(args) => verbs::agent_kubeconfig::run(args),
            Verb::Completion { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Cli::command(), "meseta", &mut script);
                out::bytes(&script)
            }
            Verb::Version => out::line(format_args!("meseta {}", env!("CARGO_PKG_VERSION"))),
        }
    })
}

/// Verbs end at once with Ctrl-C; what they asked for goes on.
async fn interruptible(verb: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::select! {
        result = verb => result,
        signal = tokio::signal::ctrl_c() => {
            signal?;
            Err(failure::Failure::Interrupted.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_has_examples() {
        for verb in Cli::command().get_subcommands() {
            let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example"), "`meseta {}` has no example", verb.get_name());
        }
    }
}
