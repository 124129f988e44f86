//! LAUNCH_GROUP: tasks that share an executor and are launched all or not at all.
//!
//! A group of one task with the DEFAULT executor is one record with one container, which is charged
//! for the executor as well. Larger ones need several containers in a task, which there are not yet.

use meseta_crds::task::MesosGroup;
use meseta_mesos_wire::v1;

use super::planner::{self, Existing, Fault, Planned, Planner};
use crate::core::resources::Amounts;
use crate::core::{checks, ids, launch, supported};

/// What is wrong, and the tasks to tell of it, with their executor.
type Refused = (Vec<v1::TaskInfo>, Fault);

/// A task of the group that passed its checks.
struct Checked {
    info: v1::TaskInfo,
    asked: Amounts,
    incarnation: i64,
}

impl Planner<'_> {
    /// Plans a group, or says why it is not launched.
    pub(super) fn group(
        &mut self,
        executor: &v1::ExecutorInfo,
        sent: &[v1::TaskInfo],
    ) -> Result<(), Refused> {
        let mut tasks = sent.to_vec();
        for task in &mut tasks {
            task.executor.get_or_insert_with(|| executor.clone());
        }
        if tasks.is_empty() {
            return Ok(());
        }
        self.checked_group(executor, &tasks).map_err(|fault| (tasks, fault))
    }

    fn checked_group(
        &mut self,
        executor: &v1::ExecutorInfo,
        tasks: &[v1::TaskInfo],
    ) -> Result<(), Fault> {
        let mut checked: Vec<Checked> = Vec::with_capacity(tasks.len());
        for task in tasks {
            let id = &task.task_id.value;
            let invalid = |fault: String| format!("Task '{id}' is invalid: {fault}");
            let twice = checked.iter().any(|earlier| earlier.info.task_id.value == *id);
            if twice {
                return Err(invalid(format!("Task has duplicate ID: {id}")).into());
            }
            checked.push(self.group_task(task).map_err(invalid)?);
        }
        let own = checks::executor(executor, self.launcher.id, self.place.role)?;
        self.group_executor(executor, &own, tasks)?;

        if executor.r#type() == v1::executor_info::Type::Default {
            self.default_group(executor, &own, checked)
        } else {
            self.custom_group(executor, &own, checked)
        }
    }

    fn group_task(&self, task: &v1::TaskInfo) -> Result<Checked, String> {
        let incarnation = self.incarnation(&task.task_id.value)?;
        let asked = checks::task(task, self.place.agent, self.place.role)?;
        let container = task.container.as_ref();
        if container.is_some_and(|c| c.r#type() == v1::container_info::Type::Docker) {
            return Err("Docker ContainerInfo is not supported on the task".to_owned());
        }
        let probe = task.health_check.as_ref().map(v1::HealthCheck::r#type);
        if container.is_some_and(|container| !container.network_infos.is_empty())
            && matches!(probe, Some(v1::health_check::Type::Http | v1::health_check::Type::Tcp))
        {
            return Err("HTTP and TCP health checks are not supported for nested containers not \
                        joining parent's network"
                .to_owned());
        }
        if !task.limits.is_empty() && checks::share_cgroups(container) != Some(false) {
            return Err("Resource limits may only be set for tasks within a task group when the \
                        'share_cgroups' field is set to 'false'."
                .to_owned());
        }
        let mut info = task.clone();
        self.allocate(&mut info.resources);
        Ok(Checked { info, asked, incarnation })
    }

    /// What is asked of the executor of a group, beside what is asked of any.
    fn group_executor(
        &self,
        executor: &v1::ExecutorInfo,
        own: &Amounts,
        tasks: &[v1::TaskInfo],
    ) -> Result<(), String> {
        if executor.r#type.is_none() {
            return Err("'ExecutorInfo.type' must be set".to_owned());
        }
        if executor.r#type() == v1::executor_info::Type::Unknown {
            return Err("Unknown executor type".to_owned());
        }
        let docker = v1::container_info::Type::Docker;
        if executor.container.as_ref().is_some_and(|container| container.r#type() == docker) {
            return Err("Docker ContainerInfo is not supported on the executor".to_owned());
        }
        let id = &executor.executor_id.value;
        let completed = self.completed_executor(executor);
        for task in tasks {
            let same = task
                .executor
                .as_ref()
                .is_none_or(|other| planner::same(&self.completed_executor(other), &completed));
            if !same {
                return Err(format!(
                    "The `ExecutorInfo` of task '{}' is different from executor '{id}'",
                    task.task_id.value
                ));
            }
        }
        checks::group_executor(id, own)?;
        let shares =
            |task: &v1::TaskInfo| checks::share_cgroups(task.container.as_ref()).unwrap_or(true);
        if tasks.iter().any(|task| shares(task) != shares(&tasks[0])) {
            return Err("If set, the value of 'share_cgroups' must be the same for all tasks in \
                        each task group and under a single executor"
                .to_owned());
        }
        Ok(())
    }

    fn default_group(
        &mut self,
        executor: &v1::ExecutorInfo,
        own: &Amounts,
        mut tasks: Vec<Checked>,
    ) -> Result<(), Fault> {
        let (Some(task), true) = (tasks.pop(), tasks.is_empty()) else {
            return Err(Fault::Invalid(
                "Task groups of more than one task are not supported with the 'DEFAULT' executor: \
                 launch each task in a group of its own, or use a 'CUSTOM' executor"
                    .to_owned(),
            ));
        };
        let Checked { mut info, mut asked, incarnation } = task;
        let executor = self.completed_executor(executor);
        supported::command_task(&info)?;
        if self.existing(&executor)?.is_none() {
            asked.add(own);
        }
        self.fits(&asked, "task group and its executor are")?;
        info.executor = Some(executor.clone());
        let record = launch::command_task(self.launcher, self.place, &info, &asked, incarnation)?;
        self.executors
            .entry(executor.executor_id.value.clone())
            .or_insert(Planned { existing: Existing::Default, info: executor });
        self.take(&info, record, &asked);
        Ok(())
    }

    fn custom_group(
        &mut self,
        executor: &v1::ExecutorInfo,
        own: &Amounts,
        mut tasks: Vec<Checked>,
    ) -> Result<(), Fault> {
        let executor = self.completed_executor(executor);
        let Some(command) = &executor.command else {
            return Err(Fault::Invalid("'ExecutorInfo.command' must be set".to_owned()));
        };
        supported::program(command, executor.container.as_ref())?;
        let (name, new) = self.custom_executor(&executor, own)?;
        let mut all = new.as_ref().map(|_| own.clone()).unwrap_or_default();
        for task in &tasks {
            supported::inner_task(&task.info)?;
            all.add(&task.asked);
        }
        self.fits(&all, "task group and its executor are")?;
        self.repeat(&executor, tasks.len())?;

        let size = i64::try_from(tasks.len()).unwrap_or(i64::MAX);
        let id = tasks.first().map_or_else(String::new, |first| {
            ids::task_record(self.launcher.uid, &first.info.task_id.value, first.incarnation)
        });
        let mut records = Vec::with_capacity(tasks.len());
        for (index, task) in (0..size).zip(&mut tasks) {
            task.info.executor = Some(executor.clone());
            records.push(launch::inner_task(
                self.launcher,
                self.place,
                &task.info,
                &task.asked,
                task.incarnation,
                &name,
                Some(MesosGroup { id: id.clone(), size, index }),
            )?);
        }
        if let Some(new) = new {
            self.take_executor(&executor, new, own);
        }
        for (task, record) in tasks.iter().zip(records) {
            self.take(&task.info, record, &task.asked);
        }
        Ok(())
    }
}
