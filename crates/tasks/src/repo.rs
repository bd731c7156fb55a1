use async_trait::async_trait;
use doorward_domain::{OwnerScope, StoreError, Timestamp};

use crate::{Task, TaskContent, TaskId, Version};

/// The port to where tasks are kept.
///
/// Every method is for one owner and MUST neither see nor touch what another has: to it there is no such task. Each is a
/// unit of its own, whole or not at all.
#[cfg_attr(test, mockall::automock)]
#[async_trait]
pub trait TaskRepo: Send + Sync {
    /// Adds a task, unless the owner has `most` already; says whether it was added. However many callers there are, an
    /// owner gets no more than `most`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] when the owner's account is gone.
    async fn insert(&self, scope: &OwnerScope, task: &Task, most: u32) -> Result<bool, StoreError>;

    /// The task, or `None`.
    async fn find(&self, scope: &OwnerScope, id: TaskId) -> Result<Option<Task>, StoreError>;

    /// Up to `limit` tasks that were made before the one named, which need not be there, the newest first; those that
    /// are completed or are not, where that is asked for.
    async fn list(
        &self,
        scope: &OwnerScope,
        completed: Option<bool>,
        before: TaskId,
        limit: u32,
    ) -> Result<Vec<Task>, StoreError>;

    /// Writes another content into a task, and gives the task as it is then; `None` when there is no such task, or it is
    /// no longer of the version that is named. Of several callers that name one version, exactly one gets the task.
    async fn replace(
        &self,
        scope: &OwnerScope,
        id: TaskId,
        content: &TaskContent,
        version: Option<Version>,
        now: Timestamp,
    ) -> Result<Option<Task>, StoreError>;

    /// Makes a task completed or not, in the same way.
    async fn complete(
        &self,
        scope: &OwnerScope,
        id: TaskId,
        completed: bool,
        version: Option<Version>,
        now: Timestamp,
    ) -> Result<Option<Task>, StoreError>;

    /// Deletes a task; says whether there was one of the version that is named. Of any number of callers, one gets
    /// `true`.
    async fn delete(&self, scope: &OwnerScope, id: TaskId, version: Option<Version>) -> Result<bool, StoreError>;
}
