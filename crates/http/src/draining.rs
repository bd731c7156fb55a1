use tokio::sync::watch;

/// Whether the server is about to end. A server that puts one into the extensions of its requests lets those that wait
/// for something answer early, so that they do not hold up its end.
#[derive(Clone, Debug)]
pub struct Draining(watch::Receiver<bool>);

impl Draining {
    /// One that has not begun, and what has it begin.
    #[must_use]
    pub fn channel() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    pub(crate) fn has_begun(&self) -> bool {
        // A server that is gone has ended.
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_when_the_server_says_so_or_is_gone() {
        let (begin, draining) = Draining::channel();
        assert!(!draining.has_begun());
        begin.send(true).unwrap();
        assert!(draining.clone().has_begun());
        let (gone, draining) = Draining::channel();
        drop(gone);
        assert!(draining.has_begun());
    }
}
