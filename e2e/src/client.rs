//! kubectl and the verbs of `meseta`, as a person uses them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::network::Host;
use crate::process::{Output, run};
use crate::programs::Programs;
use crate::wait::await_condition;

/// Longest a command may take: it may wait up to 60 s for what it was told to wait for.
const COMMAND_DEADLINE: Duration = Duration::from_secs(90);
/// Bound of each wait for something that takes a healthy cluster a second or two.
const WAIT_DEADLINE: Duration = Duration::from_secs(60);

/// One kubeconfig, one namespace, one place to call from.
#[derive(Clone, Debug)]
pub struct Client {
    kubeconfig: PathBuf,
    namespace: String,
    host: Option<Host>,
}

impl Client {
    /// For the namespace `default`, from this host.
    #[must_use]
    pub fn new(kubeconfig: &Path) -> Self {
        Self { kubeconfig: kubeconfig.to_owned(), namespace: "default".to_owned(), host: None }
    }

    /// The same for another namespace.
    #[must_use]
    pub fn in_namespace(&self, namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), ..self.clone() }
    }

    /// The same, called from another host.
    #[must_use]
    pub fn on(&self, host: Option<&Host>) -> Self {
        Self { host: host.cloned(), ..self.clone() }
    }

    /// The namespace in use.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Host::command(self.host.as_ref(), program);
        command
            .env("HOME", self.kubeconfig.with_file_name("home"))
            .env("KUBECACHEDIR", self.kubeconfig.with_file_name("kubectl-cache"))
            .env("KUBECONFIG", &self.kubeconfig);
        command
    }

    /// kubectl with these arguments, not started yet.
    ///
    /// # Errors
    /// There is no kubectl.
    pub fn kubectl_command(&self, args: &[&str]) -> Result<Command> {
        let mut command = self.command(&Programs::find()?.kubectl);
        command.args(args).args(["--namespace", &self.namespace]);
        Ok(command)
    }

    /// Runs kubectl; also a refusal is an answer.
    ///
    /// # Errors
    /// It cannot be started or does not end.
    pub fn try_kubectl(&self, args: &[&str], input: Option<&str>) -> Result<Output> {
        run(&mut self.kubectl_command(args)?, input, COMMAND_DEADLINE)
    }

    /// What kubectl prints.
    ///
    /// # Errors
    /// It fails; the message says with what.
    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.try_kubectl(args, None)?.success()
    }

    /// What kubectl complains about.
    ///
    /// # Errors
    /// It succeeds.
    pub fn kubectl_fails(&self, args: &[&str], input: Option<&str>) -> Result<String> {
        self.try_kubectl(args, input)?.failure()
    }

    /// `kubectl apply` of one record.
    ///
    /// # Errors
    /// It is refused.
    pub fn apply(&self, record: &Value) -> Result<String> {
        self.apply_text(&record.to_string())
    }

    /// `kubectl apply` of YAML or JSON.
    ///
    /// # Errors
    /// It is refused.
    pub fn apply_text(&self, text: &str) -> Result<String> {
        self.try_kubectl(&["apply", "-f", "-"], Some(text))?.success()
    }

    /// `kubectl get … -o json`.
    ///
    /// # Errors
    /// There is no such record, or it cannot be read.
    pub fn get(&self, what: &[&str]) -> Result<Value> {
        let args = [&["get"], what, &["-o", "json"]].concat();
        serde_json::from_str(&self.kubectl(&args)?).context("kubectl did not print JSON")
    }

    /// The records of a list, in its order.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn list(&self, what: &[&str]) -> Result<Vec<Value>> {
        let mut list = self.get(what)?;
        serde_json::from_value(list["items"].take()).context("kubectl did not print a list")
    }

    fn meseta_command(&self, args: &[&str]) -> Result<Command> {
        let mut command = self.command(&Programs::find()?.meseta);
        command.args(args).args(["--namespace", &self.namespace]);
        Ok(command)
    }

    /// `meseta` with these arguments.
    ///
    /// # Errors
    /// It cannot be started or does not end.
    pub fn try_meseta(&self, args: &[&str]) -> Result<Output> {
        run(&mut self.meseta_command(args)?, None, COMMAND_DEADLINE)
    }

    /// What a verb of `meseta` prints.
    ///
    /// # Errors
    /// It fails.
    pub fn meseta(&self, args: &[&str]) -> Result<String> {
        self.try_meseta(args)?.success()
    }

    /// `meseta` that runs on beside the test, its standard output a pipe.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_meseta(&self, args: &[&str]) -> Result<Child> {
        let mut command = self.meseta_command(args)?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        command.spawn().context("cannot start meseta")
    }

    /// Waits until a record is as `reached` wants it; `reached` gives what it saw otherwise.
    ///
    /// # Errors
    /// It is not in time.
    pub fn await_record(
        &self,
        what: &[&str],
        goal: &str,
        reached: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let wait = format!("{} that is {goal}", what.join(" "));
        await_condition(&wait, WAIT_DEADLINE, || match self.get(what) {
            Ok(record) if reached(&record) => Ok(record),
            Ok(record) => Err(format!("{:#}", record["status"])),
            Err(error) => Err(format!("{error:#}")),
        })
    }

    /// Waits until a task is in one of these states, and gives its record.
    ///
    /// # Errors
    /// It is not in time.
    pub fn await_task(&self, name: &str, states: &[&str]) -> Result<Value> {
        self.await_record(&["task", name], &states.join(" or "), |task| {
            task["status"]["state"].as_str().is_some_and(|state| states.contains(&state))
        })
    }

    /// Waits until a task has ended, however it did.
    ///
    /// # Errors
    /// It has not in time.
    pub fn await_end(&self, name: &str) -> Result<Value> {
        self.await_task(name, &TERMINAL_STATES)
    }
}

/// The states of a task that nothing can follow.
pub(crate) const TERMINAL_STATES: [&str; 5] = ["Finished", "Failed", "Killed", "Dropped", "Lost"];
