use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use doorward_domain::{MailTransport, Message, SendError};

/// Keeps messages instead of sending them, for tests and for programs that deliver mail in their own way.
/// Clones share what they keep.
#[derive(Clone, Debug, Default)]
pub struct MemoryTransport {
    messages: Arc<Mutex<Vec<Message>>>,
}

impl MemoryTransport {
    /// One that has kept nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What was sent so far, the oldest first.
    #[must_use]
    pub fn messages(&self) -> Vec<Message> {
        self.lock().clone()
    }

    /// What was sent since the last call, the oldest first; the messages are no longer kept.
    #[must_use]
    pub fn take(&self) -> Vec<Message> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Message>> {
        // Nothing can panic between two states of a list, so a poisoned one is sound.
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl MailTransport for MemoryTransport {
    async fn send(&self, message: &Message) -> Result<(), SendError> {
        self.lock().push(message.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::message;

    #[tokio::test]
    async fn what_was_taken_is_gone_for_every_clone() {
        let transport = MemoryTransport::new();
        transport.clone().send(&message("<a@b>")).await.unwrap();
        assert_eq!(transport.messages().len(), 1);
        assert_eq!(transport.take().len(), 1);
        assert!(transport.clone().messages().is_empty());
    }
}
