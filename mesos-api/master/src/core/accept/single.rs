//! LAUNCH: one task, with a command or a custom executor.

use meseta_crds::Task;
use meseta_mesos_wire::v1;

use super::planner::{self, Existing, Fault, Planned, Planner};
use crate::core::resources::Amounts;
use crate::core::rows::Rows;
use crate::core::{checks, launch, supported};

impl Planner<'_> {
    /// Plans one task, or says why it is not launched.
    pub(super) fn single(&mut self, sent: &v1::TaskInfo) -> Result<(), Fault> {
        let mut task = sent.clone();
        let incarnation = self.incarnation(&task.task_id.value)?;
        let asked = checks::task(&task, self.place.agent, self.place.role)?;
        self.allocate(&mut task.resources);
        if task.executor.is_some() == task.command.is_some() {
            return Err(Fault::Invalid(
                "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present"
                    .to_owned(),
            ));
        }
        if checks::share_cgroups(task.container.as_ref()) == Some(false) {
            return Err(Fault::Invalid(
                "Only tasks in a task group may have 'share_cgroups' set to 'false'".to_owned(),
            ));
        }
        let Some(executor) = task.executor.take() else {
            supported::command_task(&task)?;
            self.fits(&asked, "task and its executor is")?;
            let record =
                launch::command_task(self.launcher, self.place, &task, &asked, incarnation)?;
            self.take(&task, record, &asked);
            return Ok(());
        };
        let executor = self.completed_executor(&executor);
        let own = checks::executor(&executor, self.launcher.id, self.place.role)?;
        if executor.r#type.is_some() && executor.r#type() != v1::executor_info::Type::Custom {
            return Err(Fault::Invalid("'ExecutorInfo.type' must be 'CUSTOM'".to_owned()));
        }
        let Some(command) = &executor.command else {
            return Err(Fault::Invalid("'ExecutorInfo.command' must be set".to_owned()));
        };
        supported::program(command, executor.container.as_ref())?;
        supported::inner_task(&task)?;
        let (name, new) = self.custom_executor(&executor, &own)?;
        let mut all = asked.clone();
        if new.is_some() {
            all.add(&own);
        }
        self.fits(&all, "task and its executor is")?;
        task.executor = Some(executor.clone());
        let record =
            launch::inner_task(self.launcher, self.place, &task, &asked, incarnation, &name, None)?;
        if let Some(new) = new {
            self.take_executor(&executor, new, &own);
        }
        self.take(&task, record, &asked);
        Ok(())
    }

    /// The name of a custom executor's record, and the record if it must be stored first.
    pub(super) fn custom_executor(
        &mut self,
        executor: &v1::ExecutorInfo,
        own: &Amounts,
    ) -> Result<(String, Option<Task>), Fault> {
        match self.existing(executor)? {
            Some(Existing::Record(name)) => return Ok((name, None)),
            Some(Existing::Default) => return Err(Fault::Invalid(planner::incompatible())),
            None => {}
        }
        self.repeat(self.launcher.info, 1)?;
        let id = &executor.executor_id.value;
        let incarnation = next_incarnation(self.rows, self.place.agent, id);
        let record = launch::executor(self.launcher, self.place, executor, own, incarnation)?;
        Ok((record.metadata.name.clone().unwrap_or_default(), Some(record)))
    }

    pub(super) fn take_executor(&mut self, info: &v1::ExecutorInfo, record: Task, own: &Amounts) {
        let existing = Existing::Record(record.metadata.name.clone().unwrap_or_default());
        let planned = Planned { existing, info: info.clone() };
        self.executors.insert(info.executor_id.value.clone(), planned);
        self.remaining.subtract(own);
        // Before the tasks, whichever operation asked for it.
        let at = self.plan.tasks.iter().take_while(|task| task.spec.executor.is_some()).count();
        self.plan.tasks.insert(at, record);
    }

    pub(super) fn take(&mut self, task: &v1::TaskInfo, record: Task, asked: &Amounts) {
        self.used.insert(task.task_id.value.clone());
        self.remaining.subtract(asked);
        self.plan.tasks.push(record);
    }

    /// Whether so much is left of the offers. `by` completes the sentence of a master.
    pub(super) fn fits(&self, asked: &Amounts, by: &str) -> Result<(), String> {
        if self.remaining.contains(asked) {
            Ok(())
        } else {
            let remaining = &self.remaining;
            Err(format!("Total resources {asked} required by {by} more than available {remaining}"))
        }
    }
}

fn next_incarnation(rows: &Rows, agent: &str, executor_id: &str) -> i64 {
    rows.executor(agent, executor_id).map_or(0, |row| row.incarnation + 1)
}
