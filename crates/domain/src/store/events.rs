use async_trait::async_trait;

use crate::{EventId, EventRecord, SecurityEvent, StoreError, Timestamp, UserId};

/// A link of the chain: what ties an entry of the log to all that were sealed before it.
pub type ChainLink = [u8; 32];

/// A place on the chain: how many entries were sealed up to here, and the link of the last one. What keeps it from being
/// made up is its tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainPlace {
    /// The position of the last entry, counted from 1; 0 before the first.
    pub position: i64,
    /// Its link; zeros before the first.
    pub link: ChainLink,
    /// Made of both with the chain's key; zeros where nothing was sealed yet.
    pub tag: ChainLink,
}

impl ChainPlace {
    /// Before the first entry.
    pub const START: Self = Self { position: 0, link: [0; 32], tag: [0; 32] };
}

/// The two ends of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainEnds {
    /// The newest entry that was sealed.
    pub head: ChainPlace,
    /// Up to where old entries have been deleted.
    pub cut: ChainPlace,
}

/// An entry that has its place on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventSeal {
    /// Its position, counted from 1.
    pub position: i64,
    /// Which entry it is.
    pub event_id: EventId,
    /// What ties it to the one before.
    pub link: ChainLink,
}

/// An entry with its seal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedRecord {
    /// The seal.
    pub seal: EventSeal,
    /// The entry; `None` where it is gone, or nothing that can be read.
    pub record: Option<EventRecord>,
}

/// What stands beside the chain, and nobody but an intruder leaves there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LooseEvent {
    /// It was put into the log past all that Doorward does.
    Unsealed(EventId),
    /// It was removed before it was sealed.
    Vanished(EventId),
    /// It waits to be sealed since before the given moment, or has a seal already.
    Waiting(EventId),
    /// There is a seal behind the head, or in front of the cut.
    OffTheChain(EventId),
}

/// The security log. Entries are added and never changed; only those up to the cut can be deleted.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait EventLog: Send {
    /// Adds an entry, which waits to be sealed from the moment when the unit commits.
    async fn append(&mut self, event: &SecurityEvent) -> Result<(), StoreError>;

    /// The newest entries, newest first, without those that this version does not know.
    async fn newest(&mut self, limit: u32) -> Result<Vec<SecurityEvent>, StoreError>;

    /// The newest entries that concern the user, newest first; only those before `before` where that is given. Refreshes
    /// that succeeded are left out.
    async fn of_user(
        &mut self,
        user_id: UserId,
        before: Option<EventId>,
        limit: u32,
    ) -> Result<Vec<SecurityEvent>, StoreError>;

    /// Whether entries wait to be sealed.
    async fn has_unsealed(&mut self) -> Result<bool, StoreError>;

    /// Up to `limit` entries that wait to be sealed, the oldest first. However late an entry's unit commits, it is among
    /// them from then on.
    async fn unsealed(&mut self, limit: u32) -> Result<Vec<EventRecord>, StoreError>;

    /// The two ends of the chain, which MUST NOT be moved by another unit until this one ends; `None` while another unit
    /// holds them, without waiting for it.
    async fn hold_chain(&mut self) -> Result<Option<ChainEnds>, StoreError>;

    /// The two ends of the chain.
    async fn chain(&mut self) -> Result<ChainEnds, StoreError>;

    /// Puts entries onto the chain, behind `head`, and moves it. The unit MUST hold the chain.
    async fn seal(&mut self, seals: &[EventSeal], head: &ChainPlace) -> Result<(), StoreError>;

    /// Up to `limit` entries that were sealed behind this position, in the order of the chain. What somebody made unreadable
    /// MUST NOT pass for anything else, nor hide the others: such an entry is `None`, and such an id or link all zeros.
    async fn sealed(&mut self, after: i64, limit: u32) -> Result<Vec<SealedRecord>, StoreError>;

    /// Up to `limit` of what stands beside the chain. An entry may wait to be sealed when it is not older than
    /// `waiting_since`.
    async fn loose(&mut self, waiting_since: Timestamp, limit: u32) -> Result<Vec<LooseEvent>, StoreError>;

    /// Moves the cut and deletes the entries up to it, with their seals. The unit MUST hold the chain.
    async fn cut(&mut self, cut: &ChainPlace) -> Result<(), StoreError>;
}
