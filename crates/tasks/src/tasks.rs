use std::fmt;
use std::sync::Arc;

use doorward_auth::{Fault, retrying};
use doorward_domain::{Clock, Entropy, OwnerScope, StoreError};
use thiserror::Error;

use crate::if_match::IfMatch;
use crate::{Task, TaskContent, TaskId, TaskRepo, Version};

/// Everything that owners do with their tasks. Cheap to clone.
#[derive(Clone)]
pub struct Tasks {
    repo: Arc<dyn TaskRepo>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    most_per_user: u32,
}

/// Which tasks to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListTasks {
    /// Those that are completed, or those that are not; all of them with `None`.
    pub completed: Option<bool>,
    /// Only those made before this one.
    pub before: TaskId,
    /// How many at most, from 1 to [`LONGEST`](Self::LONGEST).
    pub limit: u32,
}

impl ListTasks {
    /// The longest page.
    pub const LONGEST: u32 = 100;
}

impl Default for ListTasks {
    /// The 50 newest.
    fn default() -> Self {
        Self { completed: None, before: TaskId::LAST, limit: 50 }
    }
}

/// Some of an owner's tasks, the newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskPage {
    /// The tasks.
    pub tasks: Vec<Task>,
    /// Where the next page begins; `None` when there is none.
    pub next: Option<TaskId>,
}

/// Why a task was not made.
#[derive(Debug, Error)]
pub enum CreateTaskError {
    /// The owner has as many as one may have.
    #[error("the owner has as many tasks as one may have")]
    QuotaExceeded,
    /// The account has been deleted since the access token was issued.
    #[error("the owner's account is gone")]
    OwnerGone,
    /// Nobody's mistake.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Why a task was neither shown nor changed.
#[derive(Debug, Error)]
pub enum ChangeTaskError {
    /// The owner has no such task; somebody else may.
    #[error("there is no such task")]
    NotFound,
    /// It has changed since the version that the caller knows.
    #[error("the task has changed since")]
    VersionConflict,
    /// Nobody's mistake.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Tasks {
    /// How many tasks a user may have unless it is told otherwise.
    pub const MOST_PER_USER: u32 = 10_000;

    /// Tasks that are kept here. A user may have `most_per_user`, at least 1.
    #[must_use]
    pub fn new(repo: Arc<dyn TaskRepo>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>, most_per_user: u32) -> Self {
        Self { repo, clock, entropy, most_per_user: most_per_user.max(1) }
    }

    /// Makes a task.
    ///
    /// # Errors
    ///
    /// [`CreateTaskError`].
    pub async fn create(&self, scope: &OwnerScope, content: TaskContent) -> Result<Task, CreateTaskError> {
        let id = TaskId::new(&*self.clock, &*self.entropy).map_err(Fault::from)?;
        let task = Task::new(id, content, self.clock.now());
        let inserted = retrying(|| async { Ok(self.repo.insert(scope, &task, self.most_per_user).await?) }).await;
        match inserted {
            Ok(true) => Ok(task),
            Ok(false) => Err(CreateTaskError::QuotaExceeded),
            Err(Fault::Store(StoreError::Conflict { .. })) => Err(CreateTaskError::OwnerGone),
            Err(fault) => Err(fault.into()),
        }
    }

    /// A page of tasks.
    ///
    /// # Errors
    ///
    /// [`Fault::Store`] when the database does not answer.
    pub async fn list(&self, scope: &OwnerScope, list: ListTasks) -> Result<TaskPage, Fault> {
        let limit = list.limit.clamp(1, ListTasks::LONGEST);
        // One more than asked for tells whether there is a next page.
        let mut tasks = self.repo.list(scope, list.completed, list.before, limit + 1).await?;
        let more = tasks.len() > limit as usize;
        tasks.truncate(limit as usize);
        let next = tasks.last().filter(|_| more).map(|task| task.id);
        Ok(TaskPage { tasks, next })
    }

    /// The task.
    ///
    /// # Errors
    ///
    /// [`ChangeTaskError`].
    pub async fn task(&self, scope: &OwnerScope, id: TaskId, if_match: &IfMatch) -> Result<Task, ChangeTaskError> {
        let task = self.repo.find(scope, id).await.map_err(Fault::from)?.ok_or(ChangeTaskError::NotFound)?;
        if if_match.allows(task.version) { Ok(task) } else { Err(ChangeTaskError::VersionConflict) }
    }

    /// Writes another content into a task.
    ///
    /// # Errors
    ///
    /// [`ChangeTaskError`].
    pub async fn replace(
        &self,
        scope: &OwnerScope,
        id: TaskId,
        content: &TaskContent,
        if_match: &IfMatch,
    ) -> Result<Task, ChangeTaskError> {
        let version = self.version(scope, id, if_match).await?;
        let now = self.clock.now();
        let replaced = retrying(|| async { Ok(self.repo.replace(scope, id, content, version, now).await?) }).await?;
        self.changed(scope, id, replaced).await
    }

    /// Makes a task completed or not.
    ///
    /// # Errors
    ///
    /// [`ChangeTaskError`].
    pub async fn complete(
        &self,
        scope: &OwnerScope,
        id: TaskId,
        completed: bool,
        if_match: &IfMatch,
    ) -> Result<Task, ChangeTaskError> {
        let version = self.version(scope, id, if_match).await?;
        let now = self.clock.now();
        let changed = retrying(|| async { Ok(self.repo.complete(scope, id, completed, version, now).await?) }).await?;
        self.changed(scope, id, changed).await
    }

    /// Deletes a task.
    ///
    /// # Errors
    ///
    /// [`ChangeTaskError`].
    pub async fn delete(&self, scope: &OwnerScope, id: TaskId, if_match: &IfMatch) -> Result<(), ChangeTaskError> {
        let version = self.version(scope, id, if_match).await?;
        let deleted = retrying(|| async { Ok(self.repo.delete(scope, id, version).await?) }).await?;
        self.changed(scope, id, deleted.then_some(())).await
    }

    /// The one version that a change is for; `None` for whichever there is.
    async fn version(
        &self,
        scope: &OwnerScope,
        id: TaskId,
        if_match: &IfMatch,
    ) -> Result<Option<Version>, ChangeTaskError> {
        match if_match {
            IfMatch::Any => Ok(None),
            IfMatch::Versions(versions) => match versions.as_slice() {
                [version] => Ok(Some(*version)),
                // Of several, the one that it is of; the statement that follows makes sure of it.
                _ => Ok(Some(self.task(scope, id, if_match).await?.version)),
            },
        }
    }

    /// What became of a change: where nothing was changed, why.
    async fn changed<T>(&self, scope: &OwnerScope, id: TaskId, changed: Option<T>) -> Result<T, ChangeTaskError> {
        match changed {
            Some(changed) => Ok(changed),
            None => match self.repo.find(scope, id).await.map_err(Fault::from)? {
                Some(_) => Err(ChangeTaskError::VersionConflict),
                None => Err(ChangeTaskError::NotFound),
            },
        }
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks").field("most_per_user", &self.most_per_user).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
