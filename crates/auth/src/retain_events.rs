use std::time::Duration;

use doorward_domain::Timestamp;
use doorward_domain::store::SealedRecord;

use crate::event_chain::broken;
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
    /// [`Fault::Store`] when the database does not answer, or the oldest entry is not what it was when it was sealed:
    /// nothing is deleted from there on, so that what shows it stays.
    pub async fn forget_events(&self, retention: Duration) -> Result<bool, Fault> {
        let before = self.now().minus(retention);
        if !self.has_older(before).await? {
            return Ok(false);
        }
        retrying(|| async {
            let mut unit = self.store().write().await?;
            let Some(ends) = unit.events().hold_chain().await? else { return Ok(false) };
            let chain = &self.parts().event_chain;
            chain.demand(&ends)?;
            let batch = unit.events().sealed(ends.cut.position, BATCH).await?;
            let (mut position, mut link, mut last) = (ends.cut.position, ends.cut.link, None);
            for sealed in &batch {
                let SealedRecord { seal, record } = sealed;
                // The place of one that somebody removed goes when an old one follows, and is evidence until then.
                let is_old = record.as_ref().is_none_or(|record| record.at < before);
                if seal.position > ends.head.position || !is_old {
                    break;
                }
                // An entry that was made to look older is none that may go.
                let is_its_own =
                    record.as_ref().is_none_or(|record| chain.link(&link, seal.position, record) == seal.link);
                if position.checked_add(1) != Some(seal.position) || !is_its_own {
                    if last.is_none() {
                        return Err(broken("its oldest entry was changed").into());
                    }
                    break;
                }
                (position, link) = (seal.position, seal.link);
                if record.is_some() {
                    last = Some(sealed);
                }
            }
            let Some(last) = last else { return Ok(false) };
            unit.events().cut(&chain.cut(last.seal.position, last.seal.link)).await?;
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
    use doorward_domain::StoreError;
    use doorward_domain::store::{ChainEnds, EventSeal, MockUnit};

    use super::*;
    use crate::testing::{DAY, NOW, Seen, Setup, record, root_secret};
    use crate::{EventChain, RegistrationMode};

    const CUT: i64 = 2;

    fn chain() -> EventChain {
        EventChain::new(&root_secret())
    }

    /// Sealed entries behind the cut that are so many days old; `None` for one that somebody has removed.
    fn entries(ages: &[Option<u32>]) -> Vec<SealedRecord> {
        let mut link = [2; 32];
        let sealed = (CUT + 1..).zip(ages).map(|(position, days)| {
            let at = NOW.minus(days.unwrap_or(9) * DAY);
            let record = record(position.unsigned_abs().into(), at, "login");
            link = chain().link(&link, position, &record);
            SealedRecord { seal: EventSeal { position, event_id: record.id, link }, record: days.map(|_| record) }
        });
        sealed.collect()
    }

    fn reading(entries: &[SealedRecord]) -> MockUnit {
        let mut unit = MockUnit::default();
        let ends = ChainEnds { head: chain().head(100, [100; 32]), cut: chain().cut(CUT, [2; 32]) };
        unit.events.expect_chain().returning(move || Ok(ends));
        unit.events.expect_hold_chain().returning(move || Ok(Some(ends)));
        let entries = entries.to_vec();
        let sealed = unit.events.expect_sealed().withf(|after, _| *after == CUT);
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
            let entries = entries(&ages);
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

            let cut = |position| entries.iter().find(|sealed| sealed.seal.position == position).unwrap().seal;
            let expected: Vec<_> = cut_at.map(|at| chain().cut(at, cut(at).link)).into_iter().collect();
            assert_eq!(cuts.all(), expected, "{ages:?}");
            assert_eq!(written.yes(), cut_at.is_some());
            assert_eq!(more, ages.len() == 1, "there may be more only behind a batch that goes as a whole");
        }
    }

    #[pollster::test]
    async fn nothing_is_written_while_nothing_is_too_old() {
        for ages in [vec![], vec![Some(4), Some(9)]] {
            let setup = Setup::new(RegistrationMode::Verified);
            setup.store.plan_read(reading(&entries(&ages)));
            assert!(!setup.auth().forget_events(5 * DAY).await.unwrap());
        }
    }

    #[pollster::test]
    async fn what_was_made_to_look_old_does_not_go() {
        let sound = entries(&[Some(9), Some(1), Some(1)]);
        let mut aged = sound.clone();
        for sealed in &mut aged[1..] {
            sealed.record.as_mut().unwrap().at = NOW.minus(9 * DAY);
        }
        let cuts = Seen::default();
        let mut unit = reading(&aged);
        let seen = cuts.clone();
        unit.events.expect_cut().returning(move |cut| {
            seen.note(*cut);
            Ok(())
        });
        let setup = Setup::new(RegistrationMode::Verified);
        setup.store.plan_read(reading(&aged));
        setup.store.plan_write(unit);
        setup.auth().forget_events(5 * DAY).await.unwrap();
        assert_eq!(cuts.only(), chain().cut(3, sound[0].seal.link));

        // Nor does it where it is the oldest, or where those before it are gone with their seals.
        let mut first = entries(&[Some(1)]);
        first[0].record.as_mut().unwrap().at = NOW.minus(9 * DAY);
        for entries in [first, sound[1..].to_vec()] {
            let entries: Vec<_> = entries
                .into_iter()
                .map(|mut sealed| {
                    sealed.record.as_mut().unwrap().at = NOW.minus(9 * DAY);
                    sealed
                })
                .collect();
            let setup = Setup::new(RegistrationMode::Verified);
            setup.store.plan_read(reading(&entries));
            let undone = setup.store.plan_write(reading(&entries));
            let outcome = setup.auth().forget_events(5 * DAY).await;
            assert!(matches!(outcome, Err(Fault::Store(StoreError::Corrupt { .. }))), "{outcome:?}");
            assert!(!undone.yes());
        }
    }
}
