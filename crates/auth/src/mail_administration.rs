use doorward_domain::{Client, EventId, EventKind, MailId, SecurityEvent};

use crate::unit::retrying;
use crate::{Administration, Fault};

impl Administration {
    /// Makes a mail that nobody is at work on due now, a dead letter as well; says whether there was one.
    ///
    /// # Errors
    ///
    /// [`Fault::Store`] when the database does not answer.
    pub async fn retry_mail(&self, id: MailId) -> Result<bool, Fault> {
        retrying(|| async {
            let mut unit = self.store.write().await?;
            if !unit.outbox().requeue(id, self.clock.now()).await? {
                return Ok(false);
            }
            unit.events().append(&self.on_mail(EventKind::MailRetry)?).await?;
            unit.commit().await?;
            Ok(true)
        })
        .await
    }

    /// Throws a mail away that nobody is at work on; says whether there was one.
    ///
    /// # Errors
    ///
    /// [`Fault::Store`] when the database does not answer.
    pub async fn drop_mail(&self, id: MailId) -> Result<bool, Fault> {
        retrying(|| async {
            let mut unit = self.store.write().await?;
            if !unit.outbox().remove(id, self.clock.now()).await? {
                return Ok(false);
            }
            unit.events().append(&self.on_mail(EventKind::MailDrop)?).await?;
            unit.commit().await?;
            Ok(true)
        })
        .await
    }

    /// An entry for the security log. Whose mail it was stands in the mail, which is not everybody's to read.
    fn on_mail(&self, kind: EventKind) -> Result<SecurityEvent, Fault> {
        Ok(SecurityEvent {
            id: EventId::new(&*self.clock, &*self.entropy)?,
            at: self.clock.now(),
            kind,
            reason: None,
            user_id: None,
            session_id: None,
            client: Client::default(),
            count: 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use doorward_domain::store::MockUnit;
    use uuid::Uuid;

    use super::*;
    use crate::testing::{CountingEntropy, NOW, TestStore, Time};

    const MAIL: MailId = MailId::from_uuid(Uuid::from_u128(7));

    fn administration(store: &Arc<TestStore>) -> Administration {
        let (clock, entropy) = (Arc::new(Time::at(NOW).clock()), Arc::new(CountingEntropy::default()));
        Administration::new(Arc::<TestStore>::clone(store), clock, entropy)
    }

    fn unit(there: bool, kind: EventKind) -> MockUnit {
        let mut unit = MockUnit::default();
        unit.outbox.expect_requeue().returning(move |id, now| Ok(there && (id, now) == (MAIL, NOW)));
        unit.outbox.expect_remove().returning(move |id, now| Ok(there && (id, now) == (MAIL, NOW)));
        let append = unit.events.expect_append().times(usize::from(there));
        append.withf(move |event| (event.kind, event.reason, event.at) == (kind, None, NOW)).returning(|_| Ok(()));
        unit
    }

    #[pollster::test]
    async fn what_is_done_to_a_mail_is_on_record_and_what_is_not_done_is_not() {
        for there in [true, false] {
            let store = Arc::new(TestStore::default());
            let retried = store.plan_write(unit(there, EventKind::MailRetry));
            let dropped = store.plan_write(unit(there, EventKind::MailDrop));
            assert_eq!(administration(&store).retry_mail(MAIL).await.unwrap(), there);
            assert_eq!(administration(&store).drop_mail(MAIL).await.unwrap(), there);
            assert_eq!((retried.yes(), dropped.yes()), (there, there));
        }
    }
}
