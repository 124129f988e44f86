//! How a command fails: exit codes, and the words on stderr.

use std::io::Write as _;
use std::process::ExitCode;

/// The exit codes, for `--help`.
pub(crate) const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, \
    4 denied, 5 conflict, 6 timed out waiting, 7 partly done, 130 interrupted.";

/// Failures with an exit code of their own.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command line does not make sense.
    #[error("{0}")]
    Usage(String),
    /// There is no such record or kind.
    #[error("{0}")]
    NotFound(String),
    /// What was waited for did not happen.
    #[error("{0}")]
    TimedOut(String),
    /// Some of several things were done.
    #[error("{failed} of {all} failed")]
    Partial {
        /// How many were not done.
        failed: usize,
        /// How many were wanted.
        all: usize,
    },
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// Nobody reads stdout any more.
    #[error("nobody reads the output")]
    NobodyReads,
}

/// Says what happened, why and what to do, and gives the exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    let code = code(error);
    if !matches!(failure(error), Some(Failure::NobodyReads | Failure::Interrupted)) {
        say(error);
    }
    ExitCode::from(code)
}

/// Prints an error with its causes and a hint on stderr.
pub(crate) fn say(error: &anyhow::Error) {
    let mut text = format!("error: {}", chain(error));
    if let Some(hint) = hint(error) {
        text.push_str("\nhint: ");
        text.push_str(hint);
    }
    // Where stderr is closed there is nobody to tell.
    drop(writeln!(std::io::stderr(), "{text}"));
}

/// The error and its causes, each said once.
fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let words = match cause.downcast_ref::<kube::Error>() {
            Some(kube::Error::Api(status)) if !status.message.is_empty() => status.message.clone(),
            _ => cause.to_string(),
        };
        // Libraries repeat their cause in their own words.
        if text.ends_with(&words) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&words);
        if cause.downcast_ref::<kube::Error>().is_some_and(|e| matches!(e, kube::Error::Api(_))) {
            break;
        }
    }
    text
}

fn failure(error: &anyhow::Error) -> Option<&Failure> {
    error.chain().find_map(|cause| cause.downcast_ref())
}

/// The status code of an API server's refusal.
pub(crate) fn status_code(error: &anyhow::Error) -> Option<u16> {
    error.chain().find_map(|cause| match cause.downcast_ref() {
        Some(kube::Error::Api(status)) => Some(status.code),
        _ => None,
    })
}

fn code(error: &anyhow::Error) -> u8 {
    match failure(error) {
        Some(Failure::Usage(_)) => 2,
        Some(Failure::NotFound(_)) => 3,
        Some(Failure::TimedOut(_)) => 6,
        Some(Failure::Partial { .. }) => 7,
        Some(Failure::Interrupted) => 130,
        Some(Failure::NobodyReads) => 0,
        None => match status_code(error) {
            Some(404 | 410) => 3,
            Some(401 | 403) => 4,
            Some(409) => 5,
            _ => 1,
        },
    }
}

fn hint(error: &anyhow::Error) -> Option<&'static str> {
    match status_code(error) {
        Some(404) => Some("`meseta get KIND -A` shows what there is"),
        Some(401 | 403) => Some("the certificate in the kubeconfig does not allow this"),
        Some(_) => None,
        None => {
            let unreachable = error.chain().any(|cause| {
                cause.downcast_ref::<std::io::Error>().is_some_and(|e| {
                    matches!(
                        e.kind(),
                        std::io::ErrorKind::ConnectionRefused | std::io::ErrorKind::TimedOut
                    )
                })
            });
            unreachable.then_some(
                "is Meseta running (`meseta up`), and is this its kubeconfig (`--kubeconfig`)?",
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(code: u16) -> anyhow::Error {
        let status = kube::core::Status { code, message: "no".to_owned(), ..Default::default() };
        anyhow::Error::new(kube::Error::Api(Box::new(status))).context("cannot do it")
    }

    #[test]
    fn exit_codes_follow_the_cause() {
        for (status, expected) in [(404, 3), (403, 4), (401, 4), (409, 5), (422, 1), (500, 1)] {
            assert_eq!(code(&api(status)), expected, "{status}");
        }
        assert_eq!(code(&Failure::TimedOut("x".to_owned()).into()), 6);
        assert_eq!(code(&anyhow::anyhow!("x")), 1);
    }

    #[test]
    fn an_error_says_each_thing_once() {
        assert_eq!(chain(&api(409)), "cannot do it: no");
        let error = anyhow::anyhow!("refused").context("cannot connect: refused");
        assert_eq!(chain(&error), "cannot connect: refused");
    }
}
