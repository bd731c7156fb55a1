use std::time::Duration;

use doorward_domain::Timestamp;

use crate::unit::retrying;
use crate::{Auth, Fault};

/// How many entries one step deletes at most.
const BATCH: u32 = 500;

impl Auth {
    /// Deletes a batch of the oldest entries of the security log, those that are older than `retention`; says whether
    /// there may be more.
    ///
    /// The chain is cut behind the last of them, and the cut is sealed like its other end: so the rest can be verified
    /// as before, and nobody else can cut off more.
    ///
    /// # Errors
    ///
    /// [`Fault::Store`] when the database does not answer.
    pub async fn forget_events(&self, retention: Duration) -> Result<bool, Fault> {
        let before = self.now().minus(retention);
        if !self.has_older(before).await? {
            return Ok(false);
        }
        retrying(|| async {
            let mut unit = self.store().write().await?;
            let Some(ends) = unit.events().hold_chain().await? else { return Ok(false) };
            let batch = unit.events().sealed(ends.cut.position, BATCH).await?;
            let is_old = |at: Timestamp| at < before;
            // The place of one that somebody removed goes when an old one follows, and is evidence until then.
            let old = batch.iter().take_while(|sealed| sealed.record.as_ref().is_none_or(|record| is_old(record.at)));
            let Some(last) = old.filter(|sealed| sealed.record.is_some()).last() else { return Ok(false) };
            unit.events().cut(&self.parts().event_chain.cut(last.seal.position, last.seal.link)).await?;
            unit.commit().await?;
            Ok(last.seal.position == batch.last().map_or(0, |sealed| sealed.seal.position))
        })
        .await
    }

    async fn has_older(&self, before: Timestamp) -> Result<bool, Fault> {
        let mut unit = self.store().read().await?;
        let cut = unit.events().chain().await?.cut.position;
        let oldest = unit.events().sealed(cut, 1).await?;
        Ok(oldest.first().is_some_and(|sealed| sealed.record.as_ref().is_none_or(|record| record.at < before)))
    }
}

#[cfg(test)]
mod tests {
    use doorward_domain::store::{ChainEnds, ChainPlace, EventSeal, MockUnit, SealedRecord};
    use doorward_domain::{EventId, EventRecord};
    use uuid::Uuid;

    use crate::testing::{DAY, NOW, Seen, Setup, root_secret};
    use crate::{EventChain, RegistrationMode};

    /// An entry that is so many days old; `None` for one that somebody has removed.
    fn sealed(position: i64, days: Option<u32>) -> SealedRecord {
        let event_id = EventId::from_uuid(Uuid::from_u128(position.unsigned_abs().into()));
        let record = days.map(|days| EventRecord {
            id: event_id,
            at: NOW.minus(days * DAY),
            kind: "login".to_owned(),
            reason: None,
            user_id: None,
            session_id: None,
            ip: None,
            user_agent: None,
            request_id: None,
            count: 1,
        });
        SealedRecord { seal: EventSeal { position, event_id, link: link(position) }, record }
    }

    fn link(position: i64) -> [u8; 32] {
        [u8::try_from(position).unwrap(); 32]
    }

    fn reading(entries: &[SealedRecord]) -> MockUnit {
        let mut unit = MockUnit::default();
        let ends = ChainEnds { head: ChainPlace::START, cut: ChainPlace { position: 2, ..ChainPlace::START } };
        unit.events.expect_chain().returning(move || Ok(ends));
        unit.events.expect_hold_chain().returning(move || Ok(Some(ends)));
        let entries = entries.to_vec();
        let sealed = unit.events.expect_sealed().withf(|after, _| *after == 2);
        sealed.returning(move |_, limit| Ok(entries.iter().take(limit as usize).cloned().collect()));
        unit
    }

    #[pollster::test]
    async fn the_chain_is_cut_behind_the_last_entry_that_is_too_old() {
        for (ages, cut_at) in [
            (vec![Some(9), Some(8), Some(7), Some(1)], Some(5)),
            // One that came late is as old as it says, and those behind a young one wait for it.
            (vec![Some(9), Some(1), Some(9)], Some(3)),
            // The place of one that was removed goes with an old one behind it, and is evidence otherwise.
            (vec![None, Some(9), None, Some(1)], Some(4)),
            (vec![None, None, Some(1)], None),
            (vec![Some(9)], Some(3)),
        ] {
            let entries: Vec<_> = (3..).zip(&ages).map(|(position, age)| sealed(position, *age)).collect();
            let cuts = Seen::default();
            let mut unit = reading(&entries);
            let seen = cuts.clone();
            unit.events.expect_cut().returning(move |cut| {
                seen.note(*cut);
                Ok(())
            });
            let setup = Setup::new(RegistrationMode::Verified);
            setup.store.plan_read(reading(&entries));
            let written = setup.store.plan_write(unit);

            let more = setup.auth().forget_events(5 * DAY).await.unwrap();

            let chain = EventChain::new(&root_secret());
            let expected: Vec<_> = cut_at.map(|position| chain.cut(position, link(position))).into_iter().collect();
            assert_eq!(cuts.all(), expected, "{ages:?}");
            assert_eq!(written.yes(), cut_at.is_some());
            assert_eq!(more, ages.len() == 1, "there may be more only behind a batch that goes as a whole");
        }
    }

    #[pollster::test]
    async fn nothing_is_written_while_nothing_is_too_old() {
        for entries in [vec![], vec![sealed(3, Some(4)), sealed(4, Some(9))]] {
            let setup = Setup::new(RegistrationMode::Verified);
            setup.store.plan_read(reading(&entries));
            assert!(!setup.auth().forget_events(5 * DAY).await.unwrap());
        }
    }
}
