use async_trait::async_trait;

use crate::{SecurityEvent, StoreError};

/// The security log. Entries are added and never changed.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait EventLog: Send {
    /// Adds an entry.
    async fn append(&mut self, event: &SecurityEvent) -> Result<(), StoreError>;

    /// The newest entries, newest first.
    async fn newest(&mut self, limit: u32) -> Result<Vec<SecurityEvent>, StoreError>;
}
