use doorward_domain::SecurityEvent;
use doorward_domain::store::EventSeal;

use crate::event_chain::broken;
use crate::unit::retrying;
use crate::{Auth, Fault};

/// How many entries one step seals at most, so that no step holds the chain for long.
pub const SEAL_BATCH: u32 = 500;

impl Auth {
    /// Puts a batch of the entries of the security log that wait for it onto the chain; says whether there may be more.
    ///
    /// Entries are written without a look at the chain, so no log-in waits for another one because of it. However late
    /// an entry is committed, it waits here from then on. Of any number of nodes one seals at a time; the others find it
    /// at work and leave it to it. Who is to be told of an entry by a webhook is written down in the same unit.
    ///
    /// # Errors
    ///
    /// [`Fault::Store`] when the database does not answer, or the chain does not end where Doorward has put its end: then
    /// nothing more is sealed, since a seal behind it would make good what somebody did to it.
    pub async fn seal_events(&self) -> Result<bool, Fault> {
        if !self.store().read().await?.events().has_unsealed().await? {
            return Ok(false);
        }
        let chain = &self.parts().event_chain;
        let sealed = retrying(|| async {
            let mut unit = self.store().write().await?;
            let Some(ends) = unit.events().hold_chain().await? else {
                // Somebody else is at it, unless there is nothing to be at.
                unit.events().chain().await?;
                return Ok(0);
            };
            chain.demand(&ends)?;
            if !unit.events().sealed(ends.head.position, 1).await?.is_empty() {
                return Err(broken("there are seals behind its head").into());
            }
            let records = unit.events().unsealed(SEAL_BATCH).await?;
            let (mut position, mut link) = (ends.head.position, ends.head.link);
            let mut seals = Vec::with_capacity(records.len());
            for record in &records {
                position = position.checked_add(1).ok_or_else(|| broken("its head is past all positions"))?;
                link = chain.link(&link, position, record);
                seals.push(EventSeal { position, event_id: record.id, link });
            }
            if seals.is_empty() {
                return Ok(0);
            }
            unit.events().seal(&seals, &chain.head(position, link)).await?;
            // What this version does not know it can tell nobody of.
            let events: Vec<SecurityEvent> = records.into_iter().filter_map(|record| record.try_into().ok()).collect();
            self.queue_webhooks(&mut *unit, &events).await?;
            unit.commit().await?;
            Ok(seals.len())
        })
        .await?;
        Ok(sealed >= SEAL_BATCH as usize)
    }
}

#[cfg(test)]
mod tests {
    use doorward_domain::store::{ChainEnds, ChainPlace, MockUnit, SealedRecord};
    use doorward_domain::{EventRecord, MockWebhookTransport, StoreError, WebhookDelivery};

    use super::*;
    use crate::testing::{self, NOW, Seen, Setup, root_secret, webhook_endpoint};
    use crate::{EventChain, RegistrationMode, WebhookEvents};

    fn record(number: u128, kind: &str) -> EventRecord {
        testing::record(number, NOW, kind)
    }

    fn chain() -> EventChain {
        EventChain::new(&root_secret())
    }

    fn head() -> ChainPlace {
        chain().head(7, [7; 32])
    }

    /// What was sealed, and where the head was put.
    type Sealed = Seen<(Vec<EventSeal>, ChainPlace)>;

    /// A unit that holds the chain, or finds somebody else at it, and seals these records.
    fn sealing(held: bool, records: &[EventRecord], sealed: &Sealed) -> MockUnit {
        let mut unit = MockUnit::default();
        let ends = held.then(|| ChainEnds { head: head(), cut: ChainPlace::START });
        unit.events.expect_hold_chain().times(1).returning(move || Ok(ends));
        unit.events.expect_chain().returning(|| Ok(ChainEnds { head: head(), cut: ChainPlace::START }));
        unit.events.expect_sealed().withf(|after, _| *after == 7).returning(|_, _| Ok(Vec::new()));
        let records = records.to_vec();
        let unsealed = unit.events.expect_unsealed();
        unsealed.withf(|limit| *limit == SEAL_BATCH).returning(move |_| Ok(records.clone()));
        let seen = sealed.clone();
        unit.events.expect_seal().returning(move |seals, head| {
            seen.note((seals.to_vec(), *head));
            Ok(())
        });
        unit
    }

    fn waiting(waiting: bool) -> MockUnit {
        let mut unit = MockUnit::default();
        unit.events.expect_has_unsealed().times(1).returning(move || Ok(waiting));
        unit
    }

    #[pollster::test]
    async fn each_entry_is_linked_to_the_one_before_and_the_head_to_the_last() {
        let (sealed, told) = (Sealed::default(), Seen::<WebhookDelivery>::default());
        let records = [record(1, "login"), record(2, "of a later version"), record(3, "logout")];
        let mut setup = Setup::new(RegistrationMode::Verified);
        setup.webhooks.push(webhook_endpoint("own", WebhookEvents::All, MockWebhookTransport::new()));
        setup.store.plan_read(waiting(true));
        let mut unit = sealing(true, &records, &sealed);
        let seen = told.clone();
        unit.webhooks.expect_push().returning(move |delivery| {
            seen.note(delivery.clone());
            Ok(())
        });
        let written = setup.store.plan_write(unit);

        assert!(!setup.auth().seal_events().await.unwrap(), "there cannot be more than a batch");

        assert!(written.yes());
        let (seals, new_head) = sealed.only();
        let mut before = head().link;
        for (seal, (position, record)) in seals.iter().zip((8..).zip(&records)) {
            assert_eq!((seal.position, seal.event_id), (position, record.id));
            assert_eq!(seal.link, chain().link(&before, position, record));
            before = seal.link;
        }
        assert_eq!((seals.len(), new_head), (3, chain().head(10, before)));
        let told: Vec<_> = told.all().into_iter().map(|delivery| delivery.event_id).collect();
        assert_eq!(told, [records[0].id, records[2].id], "of what this version does not know nobody can be told");
    }

    #[pollster::test]
    async fn a_full_batch_may_not_be_the_last() {
        let records: Vec<_> = (1..=u128::from(SEAL_BATCH)).map(|number| record(number, "login")).collect();
        let setup = Setup::new(RegistrationMode::Verified);
        setup.store.plan_read(waiting(true));
        setup.store.plan_write(sealing(true, &records, &Sealed::default()));
        assert!(setup.auth().seal_events().await.unwrap());
    }

    #[pollster::test]
    async fn nothing_is_sealed_behind_an_end_that_somebody_has_moved() {
        let forged = ChainPlace { position: 3, ..head() };
        let past = chain().head(i64::MAX, [7; 32]);
        for (head, cut, behind) in [
            (forged, ChainPlace::START, false),
            (head(), ChainPlace { position: 1, ..ChainPlace::START }, false),
            (ChainPlace::START, ChainPlace::START, true),
            (head(), ChainPlace::START, true),
            (past, ChainPlace::START, false),
        ] {
            let mut unit = MockUnit::default();
            unit.events.expect_hold_chain().returning(move || Ok(Some(ChainEnds { head, cut })));
            let seal = EventSeal { position: 9, event_id: record(9, "login").id, link: [9; 32] };
            let stray: Vec<_> = behind.then_some(SealedRecord { seal, record: None }).into_iter().collect();
            let sealed = unit.events.expect_sealed().withf(move |after, _| *after == head.position);
            sealed.returning(move |_, _| Ok(stray.clone()));
            unit.events.expect_unsealed().returning(|_| Ok(vec![record(1, "login")]));
            let setup = Setup::new(RegistrationMode::Verified);
            setup.store.plan_read(waiting(true));
            let undone = setup.store.plan_write(unit);
            let outcome = setup.auth().seal_events().await;
            assert!(matches!(outcome, Err(Fault::Store(StoreError::Corrupt { .. }))), "{head:?} {cut:?}: {outcome:?}");
            assert!(!undone.yes());
        }
    }

    #[pollster::test]
    async fn nothing_is_written_where_nothing_waits_or_somebody_else_is_at_it() {
        let setup = Setup::new(RegistrationMode::Verified);
        setup.store.plan_read(waiting(false));
        setup.store.plan_read(waiting(true));
        let sealed = Sealed::default();
        let undone = setup.store.plan_write(sealing(false, &[record(1, "login")], &sealed));
        let auth = setup.auth();
        assert!(!auth.seal_events().await.unwrap());
        assert!(!auth.seal_events().await.unwrap());
        assert!(!undone.yes() && sealed.all().is_empty());
    }

    #[test]
    fn an_end_of_the_chain_is_where_the_key_has_put_it_or_at_the_start() {
        let ends = |head, cut| ChainEnds { head, cut };
        let (start, moved) = (ChainPlace::START, ChainPlace { position: 8, ..head() });
        let cut = chain().cut(7, [7; 32]);
        for (ends, holds) in [
            (ends(start, start), (true, true)),
            (ends(head(), cut), (true, true)),
            (ends(moved, cut), (false, true)),
            (ends(cut, head()), (false, false)),
            (ends(ChainPlace { link: [8; 32], ..head() }, ChainPlace { tag: [0; 32], ..cut }), (false, false)),
        ] {
            assert_eq!(chain().holds(&ends), holds, "{ends:?}");
        }
    }
}
