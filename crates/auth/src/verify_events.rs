use std::time::Duration;

use doorward_domain::store::{ChainEnds, ChainLink, LooseEvent, SealedRecord};
use doorward_domain::{Store, Timestamp};
use futures_util::future::join;

use crate::{EventChain, Fault, KnownPlace, LogFinding, LogReport};

/// How many entries are read at once: few enough to be looked at while they are still in the processor's cache.
const PAGE: u32 = 1_000;

/// How long an entry may wait for its seal; within two seconds it gets it where a node runs.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// How much that stands beside the chain is looked at.
const MOST_LOOSE: u32 = 20_000;

/// Looks at every entry on the chain: whether it is there, what it was, and where it was. Reads page by page, while others
/// write.
///
/// Whoever has the database alone can undo everything since a copy that they kept, entries and ends together; a place that
/// is `expected`, because it was written down elsewhere, shows that.
///
/// # Errors
///
/// [`Fault::Store`] when the database does not answer.
pub async fn verify_events(
    store: &dyn Store,
    chain: &EventChain,
    expected: Option<KnownPlace>,
    now: Timestamp,
) -> Result<LogReport, Fault> {
    loop {
        // The end first: what is sealed while this reads lies behind it and is left for the next time.
        let mut unit = store.read().await?;
        let ends = unit.events().chain().await?;
        let loose = unit.events().loose(now.minus(LONGEST_WAIT), MOST_LOOSE).await?;
        drop(unit);
        let report = walk(store, chain, expected, &ends, loose).await?;
        if report.found == 0 {
            return Ok(report);
        }
        // What went by age while this read looks removed. Nobody else can move the cut on, so this comes to an end.
        let ends_now = store.read().await?.events().chain().await?;
        if !chain.holds(&ends_now).1 || ends_now.cut.position <= ends.cut.position {
            return Ok(report);
        }
    }
}

/// Goes along the chain from one of these ends to the other.
async fn walk(
    store: &dyn Store,
    chain: &EventChain,
    expected: Option<KnownPlace>,
    ends: &ChainEnds,
    loose: Vec<LooseEvent>,
) -> Result<LogReport, Fault> {
    let ChainEnds { head, cut } = *ends;
    let mut walk = Walk {
        chain,
        position: cut.position,
        before: Some(cut.link),
        expected,
        report: LogReport {
            findings: Vec::new(),
            found: 0,
            sealed: 0,
            cut: cut.position,
            head: KnownPlace { position: head.position, link: head.link },
            oldest: None,
        },
    };
    let (head_holds, cut_holds) = chain.holds(ends);
    if !cut_holds {
        walk.report.add(LogFinding::CutMoved { position: cut.position.saturating_add(1) });
    }
    if let Some(place) = expected.filter(|place| place.position < cut.position) {
        walk.report.add(LogFinding::TooOld { position: place.position });
    }
    walk.expect(cut.position, &cut.link);
    // The next page is on its way while this one is looked at. One unit reads all of them: to begin another takes a
    // while in which nothing is read.
    let mut unit = store.read().await?;
    let (mut reached, mut seen) = (cut.position, Vec::<SealedRecord>::new());
    let mut page = unit.events().sealed(reached, PAGE).await?;
    while let Some(last) = page.last().map(|sealed| sealed.seal.position) {
        let is_end = last <= reached || reached >= head.position;
        reached = last;
        let looking = async {
            for sealed in page.iter().filter(|sealed| sealed.seal.position <= head.position) {
                match seen.iter().position(|seen| seen == sealed) {
                    Some(index) => drop(seen.swap_remove(index)),
                    None => walk.step(sealed),
                }
            }
        };
        // From the last one on: another one at its position must not hide behind the end of the page.
        let (next, ()) = join(unit.events().sealed(reached.saturating_sub(1), PAGE), looking).await;
        if is_end {
            break;
        }
        seen = page.into_iter().filter(|sealed| sealed.seal.position == reached).collect();
        page = next?;
    }
    drop(unit);
    if walk.position < head.position {
        walk.report.add(LogFinding::Missing { from: walk.position.saturating_add(1), to: head.position });
    }
    let ends_there = walk.before.is_none_or(|link| link == head.link);
    if !head_holds || walk.position == head.position && !ends_there {
        walk.report.add(LogFinding::HeadMoved { position: walk.position });
    }
    if walk.expected.is_some_and(|place| place.position > head.position) {
        walk.report.add(LogFinding::NotExpected { position: head.position });
    }
    for loose in loose {
        walk.report.add(match loose {
            LooseEvent::Unsealed(event_id) => LogFinding::Unsealed { event_id },
            LooseEvent::Vanished(event_id) => LogFinding::Vanished { event_id },
            LooseEvent::Waiting(event_id) => LogFinding::Waiting { event_id },
            LooseEvent::OffTheChain(event_id) => LogFinding::OffTheChain { event_id },
        });
    }
    Ok(walk.report)
}

/// A walk along the chain.
struct Walk<'a> {
    chain: &'a EventChain,
    /// The last position that was looked at.
    position: i64,
    /// Its link; `None` behind a gap, where nobody knows it.
    before: Option<ChainLink>,
    expected: Option<KnownPlace>,
    report: LogReport,
}

impl Walk<'_> {
    fn step(&mut self, sealed: &SealedRecord) {
        let SealedRecord { seal, record } = sealed;
        let next = self.position.saturating_add(1);
        if seal.position < next {
            // There is a second one at this position, and this is neither before the next one nor behind the last.
            self.report.add(LogFinding::Changed { position: seal.position, event_id: seal.event_id });
            return;
        }
        if seal.position > next {
            self.report.add(LogFinding::Missing { from: next, to: seal.position.saturating_sub(1) });
            self.before = None;
        }
        match (record, self.before) {
            (None, _) => {
                self.report.add(LogFinding::Removed { position: seal.position, event_id: seal.event_id });
            }
            (Some(record), Some(before)) if self.chain.link(&before, seal.position, record) != seal.link => {
                self.report.add(LogFinding::Changed { position: seal.position, event_id: seal.event_id });
            }
            (Some(_), _) => {}
        }
        self.report.sealed += 1;
        if self.report.oldest.is_none() {
            self.report.oldest = record.as_ref().map(|record| record.at);
        }
        self.position = seal.position;
        // Each link is taken as it stands, so that one that is wrong is found once and not from there to the end.
        self.before = Some(seal.link);
        self.expect(seal.position, &seal.link);
    }

    fn expect(&mut self, position: i64, link: &ChainLink) {
        if self.expected.is_some_and(|place| place.position == position && place.link != *link) {
            self.report.add(LogFinding::NotExpected { position });
        }
    }
}

#[cfg(test)]
mod tests {
    use doorward_domain::EventId;
    use doorward_domain::store::{ChainPlace, EventSeal, MockUnit};

    use super::*;
    use crate::testing::{self, NOW, TestStore, root_secret};

    /// More than two pages.
    const ENTRIES: i64 = 2_500;

    fn chain() -> EventChain {
        EventChain::new(&root_secret())
    }

    fn entries() -> Vec<SealedRecord> {
        let mut link = ChainPlace::START.link;
        (1..=ENTRIES)
            .map(|position| {
                let record = testing::record(position.unsigned_abs().into(), NOW, "login");
                link = chain().link(&link, position, &record);
                SealedRecord { seal: EventSeal { position, event_id: record.id, link }, record: Some(record) }
            })
            .collect()
    }

    fn ends(entries: &[SealedRecord], cut: i64) -> ChainEnds {
        let link = |position: i64| entries.iter().find(|sealed| sealed.seal.position == position).unwrap().seal.link;
        let cut = if cut == 0 { ChainPlace::START } else { chain().cut(cut, link(cut)) };
        ChainEnds { head: chain().head(ENTRIES, link(ENTRIES)), cut }
    }

    fn telling(ends: ChainEnds) -> MockUnit {
        let mut unit = MockUnit::default();
        unit.events.expect_chain().returning(move || Ok(ends));
        unit.events.expect_loose().returning(|_, _| Ok(Vec::new()));
        unit
    }

    fn reading(entries: &[SealedRecord]) -> MockUnit {
        let mut unit = MockUnit::default();
        let entries = entries.to_vec();
        unit.events.expect_sealed().returning(move |after, limit| {
            let page = entries.iter().filter(|sealed| sealed.seal.position > after).take(limit as usize);
            Ok(page.cloned().collect())
        });
        unit
    }

    async fn verified(store: &TestStore) -> LogReport {
        verify_events(store, &chain(), None, NOW).await.unwrap()
    }

    #[pollster::test]
    async fn a_sound_log_is_read_once_from_end_to_end() {
        let entries = entries();
        let store = TestStore::default();
        store.plan_read(telling(ends(&entries, 0)));
        store.plan_read(reading(&entries));
        let report = verified(&store).await;
        assert_eq!((report.sealed, report.found), (2_500, 0), "{report:?}");
    }

    #[pollster::test]
    async fn what_was_changed_or_removed_is_named_on_whatever_page_it_stands() {
        let sound = entries();
        let mut entries = sound.clone();
        for index in [0, 999, 1_000, 2_499] {
            entries[index].record.as_mut().unwrap().ip = Some("192.0.2.66".to_owned());
        }
        entries[1_500].record = None;
        entries.remove(2_000);
        let store = TestStore::default();
        store.plan_read(telling(ends(&sound, 0)));
        store.plan_read(reading(&entries));
        store.plan_read(telling(ends(&sound, 0)));
        let (changed, event_id) =
            (|position: i64| LogFinding::Changed { position, event_id: id(&sound, position) }, id(&sound, 1_501));
        assert_eq!(
            verified(&store).await.findings,
            [
                changed(1),
                changed(1_000),
                changed(1_001),
                LogFinding::Removed { position: 1_501, event_id },
                LogFinding::Missing { from: 2_001, to: 2_001 },
                changed(2_500),
            ]
        );
    }

    fn id(entries: &[SealedRecord], position: i64) -> EventId {
        entries.iter().find(|sealed| sealed.seal.position == position).unwrap().seal.event_id
    }

    #[pollster::test]
    async fn a_second_one_at_a_position_is_found_wherever_a_page_ends() {
        for position in [1, 999, 1_000, 1_001, ENTRIES] {
            let sound = entries();
            let mut entries = sound.clone();
            let index = usize::try_from(position).unwrap();
            let mut second = entries[index - 1].clone();
            second.record.as_mut().unwrap().ip = Some("192.0.2.66".to_owned());
            entries.insert(index, second);
            let store = TestStore::default();
            store.plan_read(telling(ends(&sound, 0)));
            store.plan_read(reading(&entries));
            store.plan_read(telling(ends(&sound, 0)));
            let findings = verified(&store).await.findings;
            assert_eq!(findings, [LogFinding::Changed { position, event_id: id(&sound, position) }]);
        }
    }

    #[pollster::test]
    async fn a_head_in_front_of_the_cut_is_a_finding() {
        let entries = entries();
        let store = TestStore::default();
        let ends = ChainEnds { head: ChainPlace::START, ..ends(&entries, 20) };
        store.plan_read(telling(ends));
        store.plan_read(reading(&[]));
        store.plan_read(telling(ends));
        assert_eq!(verified(&store).await.findings, [LogFinding::HeadMoved { position: 20 }]);
    }

    #[pollster::test]
    async fn an_end_that_is_another_one_at_each_look_does_not_keep_it_going() {
        let sound = entries();
        let mut entries = sound.clone();
        entries[0].record = None;
        let store = TestStore::default();
        store.plan_read(telling(ends(&sound, 0)));
        store.plan_read(reading(&entries));
        let ends = ends(&sound, 0);
        store.plan_read(telling(ChainEnds { cut: ChainPlace { position: 7, link: [7; 32], tag: [7; 32] }, ..ends }));
        assert_eq!(verified(&store).await.found, 1);
    }

    #[pollster::test]
    async fn what_went_by_age_meanwhile_is_no_finding() {
        let entries = entries();
        let store = TestStore::default();
        store.plan_read(telling(ends(&entries, 0)));
        store.plan_read(reading(&entries[1_200..]));
        store.plan_read(telling(ends(&entries, 1_200)));
        store.plan_read(telling(ends(&entries, 1_200)));
        store.plan_read(reading(&entries[1_200..]));
        let report = verified(&store).await;
        assert_eq!((report.sealed, report.cut, report.found), (1_300, 1_200, 0), "{report:?}");
    }
}
