//! Security events.

use std::sync::Arc;

use doorward_domain::{
    Client, Clock, EventId, EventKind, EventReason, RequestId, SecurityEvent, SessionId, Store, Timestamp, UserAgent,
    UserId,
};

use doorward_domain::EventRecord;
use doorward_domain::store::{ChainEnds, ChainPlace, EventSeal, SealedRecord, WriteUnit};

use super::{Outcome, Surroundings, Violation, after, must};

/// A log-in of nobody, so many seconds after the others.
fn event(seconds: u64) -> Result<SecurityEvent, Violation> {
    struct At(Timestamp);
    impl Clock for At {
        fn now(&self) -> Timestamp {
            self.0
        }
    }
    Ok(SecurityEvent {
        id: EventId::new(&At(after(seconds)), &Surroundings)?,
        at: after(seconds),
        kind: EventKind::Login,
        reason: None,
        user_id: None,
        session_id: None,
        client: Client::default(),
        count: 1,
    })
}

/// Every field of an event comes back as it was written, newest first.
pub async fn events_survive_the_round_trip_newest_first(store: Arc<dyn Store>) -> Outcome {
    let older = event(1)?;
    let newer = SecurityEvent {
        kind: EventKind::Refresh,
        reason: Some(EventReason::Replay),
        user_id: Some(UserId::new(&Surroundings, &Surroundings)?),
        session_id: Some(SessionId::new(&Surroundings, &Surroundings)?),
        client: Client {
            ip: "192.0.2.1".parse().ok(),
            user_agent: Some(UserAgent::sanitized("curl/8")),
            request_id: RequestId::parse("request-1"),
            locale: None,
        },
        ..event(2)?
    };
    let mut unit = store.write().await?;
    unit.events().append(&older).await?;
    unit.events().append(&newer).await?;
    unit.commit().await?;
    let newest = store.read().await?.events().newest(10).await?;
    must!(newest == [newer.clone(), older], "the events came back changed: {newest:?}");
    let newest = store.read().await?.events().newest(1).await?;
    must!(newest == [newer], "one event was asked for: {newest:?}");
    Ok(())
}

/// A user's events are those that concern the user, newest first and page by page, without refreshes that succeeded.
pub async fn a_user_s_events_are_their_own_and_without_refreshes(store: Arc<dyn Store>) -> Outcome {
    let own = UserId::new(&Surroundings, &Surroundings)?;
    let user_id = Some(own);
    let other = Some(UserId::new(&Surroundings, &Surroundings)?);
    let (refresh, replay) = (EventKind::Refresh, Some(EventReason::Replay));
    let first = SecurityEvent { user_id, ..event(1)? };
    let second = SecurityEvent { user_id, kind: refresh, reason: replay, ..event(3)? };
    let third = SecurityEvent { user_id, kind: EventKind::Logout, ..event(6)? };
    let mut unit = store.write().await?;
    for event in [
        &first,
        &SecurityEvent { user_id: other, ..event(2)? },
        &second,
        &SecurityEvent { user_id, kind: refresh, ..event(4)? },
        &event(5)?,
        &third,
    ] {
        unit.events().append(event).await?;
    }
    unit.commit().await?;
    let all = store.read().await?.events().of_user(own, None, 10).await?;
    must!(all == [third.clone(), second.clone(), first.clone()], "not the user's events: {all:?}");
    let page = store.read().await?.events().of_user(own, None, 1).await?;
    must!(page == [third.clone()], "one event was asked for: {page:?}");
    let page = store.read().await?.events().of_user(own, Some(third.id), 1).await?;
    must!(page == [second.clone()], "not the next event: {page:?}");
    let page = store.read().await?.events().of_user(own, Some(second.id), 10).await?;
    must!(page == [first], "not the last event: {page:?}");
    Ok(())
}

/// A unit that holds the chain. One that was dropped before may still be letting go of it.
async fn holding(store: &dyn Store) -> Result<(Box<dyn WriteUnit>, ChainEnds), Violation> {
    for _ in 0..1_000 {
        let mut unit = store.write().await?;
        if let Some(ends) = unit.events().hold_chain().await? {
            return Ok((unit, ends));
        }
    }
    Err(Violation::Broken("nobody holds the chain".to_owned()))
}

/// Seals what waits, with links that say where they are.
async fn seal_all(store: &dyn Store) -> Result<Vec<EventSeal>, Violation> {
    let (mut unit, ends) = holding(store).await?;
    let records = unit.events().unsealed(100).await?;
    let mut seals = Vec::new();
    for (position, record) in (ends.head.position + 1..).zip(&records) {
        seals.push(EventSeal { position, event_id: record.id, link: link(position) });
    }
    if let Some(last) = seals.last() {
        unit.events().seal(&seals, &place(last.position)).await?;
    }
    unit.commit().await?;
    Ok(seals)
}

fn link(position: i64) -> [u8; 32] {
    [u8::try_from(position).unwrap_or(u8::MAX); 32]
}

fn place(position: i64) -> ChainPlace {
    ChainPlace { position, link: link(position), tag: [0xa5; 32] }
}

async fn append(store: &dyn Store, event: &SecurityEvent) -> Result<(), Violation> {
    let mut unit = store.write().await?;
    unit.events().append(event).await?;
    Ok(unit.commit().await?)
}

/// An entry waits from the moment when its unit commits until it is sealed, once; one whose unit is dropped never.
pub async fn an_event_waits_to_be_sealed_from_its_commit_on(store: Arc<dyn Store>) -> Outcome {
    must!(!store.read().await?.events().has_unsealed().await?, "something waits in an empty log");
    let mut dropped = store.write().await?;
    dropped.events().append(&event(1)?).await?;
    drop(dropped);
    must!(!store.read().await?.events().has_unsealed().await?, "an entry waits that was never committed");
    let (younger, older) = (SecurityEvent { count: 7, ..event(5)? }, event(4)?);
    append(&*store, &younger).await?;
    append(&*store, &older).await?;
    must!(store.read().await?.events().has_unsealed().await?, "nothing waits");
    let waiting = store.read().await?.events().unsealed(10).await?;
    must!(waiting == [EventRecord::from(&older), EventRecord::from(&younger)], "these wait: {waiting:?}");
    must!(store.read().await?.events().unsealed(1).await?.len() == 1, "one was asked for");
    seal_all(&*store).await?;
    must!(!store.read().await?.events().has_unsealed().await?, "a sealed entry waits");
    // One that began long before and commits only now.
    append(&*store, &event(2)?).await?;
    must!(store.read().await?.events().unsealed(10).await?.len() == 1, "an entry that came late does not wait");
    Ok(())
}

/// While a unit holds the chain, another one does not get it, and does not wait either.
pub async fn one_unit_at_a_time_holds_the_chain(store: Arc<dyn Store>) -> Outcome {
    append(&*store, &event(1)?).await?;
    append(&*store, &event(2)?).await?;
    let work = super::crowd({
        let store = Arc::clone(&store);
        move |_| {
            let store = Arc::clone(&store);
            async move {
                let mut unit = store.write().await?;
                let Some(ends) = unit.events().hold_chain().await? else { return Ok(0) };
                let records = unit.events().unsealed(1).await?;
                let Some(record) = records.first() else { return Ok(0) };
                let position = ends.head.position + 1;
                let seal = EventSeal { position, event_id: record.id, link: link(position) };
                unit.events().seal(&[seal], &place(position)).await?;
                unit.commit().await?;
                Ok(1)
            }
        }
    });
    let sealed: usize = work.await?.into_iter().sum();
    must!((1..=2).contains(&sealed), "{sealed} entries were sealed of 2");
    seal_all(&*store).await?;
    let positions: Vec<_> =
        store.read().await?.events().sealed(0, 10).await?.iter().map(|sealed| sealed.seal.position).collect();
    must!(positions == [1, 2], "the positions are {positions:?}");
    Ok(())
}

/// Sealed entries come in the order of the chain, with their seals, behind any position.
pub async fn sealed_events_are_in_the_order_of_the_chain(store: Arc<dyn Store>) -> Outcome {
    let start = store.read().await?.events().chain().await?;
    must!(start == ChainEnds { head: ChainPlace::START, cut: ChainPlace::START }, "an empty chain: {start:?}");
    let events = [event(3)?, event(2)?, event(1)?];
    let mut expected = Vec::new();
    for event in &events {
        append(&*store, event).await?;
        let seals = seal_all(&*store).await?;
        let record = Some(EventRecord::from(event));
        expected.extend(seals.into_iter().map(|seal| SealedRecord { seal, record: record.clone() }));
    }
    let sealed = store.read().await?.events().sealed(0, 10).await?;
    must!(sealed == expected, "other entries are sealed: {sealed:?}");
    let sealed = store.read().await?.events().sealed(1, 1).await?;
    must!(sealed.first() == expected.get(1) && sealed.len() == 1, "not the second: {sealed:?}");
    must!(store.read().await?.events().chain().await?.head == place(3), "the head was not moved");
    must!(
        store.read().await?.events().loose(Timestamp::from_unix_micros(0), 10).await?.is_empty(),
        "something is loose"
    );
    Ok(())
}

/// A cut deletes what lies before it, entries and seals, and nothing else does.
pub async fn the_log_can_only_be_added_to_and_cut(store: Arc<dyn Store>) -> Outcome {
    for seconds in 1..=4 {
        append(&*store, &event(seconds)?).await?;
    }
    seal_all(&*store).await?;
    let mut unit = store.write().await?;
    must!(unit.events().hold_chain().await?.is_some(), "nobody holds the chain");
    unit.events().cut(&place(3)).await?;
    unit.commit().await?;
    let left = store.read().await?.events().sealed(0, 10).await?;
    let positions: Vec<_> = left.iter().map(|sealed| (sealed.seal.position, sealed.record.is_some())).collect();
    must!(positions == [(4, true)], "these are left: {positions:?}");
    must!(store.read().await?.events().newest(10).await?.len() == 1, "an entry was deleted that is behind the cut");
    let ends = store.read().await?.events().chain().await?;
    must!((ends.cut, ends.head) == (place(3), place(4)), "the ends are {ends:?}");
    Ok(())
}
