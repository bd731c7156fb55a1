use async_trait::async_trait;

use crate::{EventId, SecurityEvent, StoreError, UserId};

/// The security log. Entries are added and never changed.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait EventLog: Send {
    /// Adds an entry.
    async fn append(&mut self, event: &SecurityEvent) -> Result<(), StoreError>;

    /// The newest entries, newest first.
    async fn newest(&mut self, limit: u32) -> Result<Vec<SecurityEvent>, StoreError>;

    /// The newest entries that concern the user, newest first; only those before `before` where that is given. Refreshes
    /// that succeeded are left out.
    async fn of_user(
        &mut self,
        user_id: UserId,
        before: Option<EventId>,
        limit: u32,
    ) -> Result<Vec<SecurityEvent>, StoreError>;
}
