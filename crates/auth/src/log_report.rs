use std::fmt;

use doorward_domain::store::ChainLink;
use doorward_domain::{EventId, Timestamp};

/// What is wrong with the security log, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFinding {
    /// The entry at this position, or its seal, is not what it was when it was sealed.
    Changed {
        /// The position on the chain.
        position: i64,
        /// The entry that stands there now.
        event_id: EventId,
    },
    /// The entry at this position is gone.
    Removed {
        /// The position on the chain.
        position: i64,
        /// The entry that stood there.
        event_id: EventId,
    },
    /// These positions are gone, entries and seals.
    Missing {
        /// The first position.
        from: i64,
        /// The last position.
        to: i64,
    },
    /// The end of the chain is not where it was put: entries after this position were removed or added.
    HeadMoved {
        /// The last position that there is.
        position: i64,
    },
    /// The beginning of the chain is not where it was put: entries before this position were removed.
    CutMoved {
        /// The first position that there is.
        position: i64,
    },
    /// An entry was put into the log past all that Doorward does.
    Unsealed {
        /// The entry.
        event_id: EventId,
    },
    /// An entry was removed before it was sealed.
    Vanished {
        /// The entry.
        event_id: EventId,
    },
    /// An entry waits for its seal for longer than a minute, or once more.
    Waiting {
        /// The entry.
        event_id: EventId,
    },
    /// An entry has a seal that is not on the chain.
    OffTheChain {
        /// The entry.
        event_id: EventId,
    },
    /// The place that was expected was deleted by age, so nobody can tell.
    TooOld {
        /// The position of that place.
        position: i64,
    },
    /// The chain does not go through the place that was expected.
    NotExpected {
        /// The position of that place.
        position: i64,
    },
}

impl fmt::Display for LogFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { position, event_id } => write!(f, "position {position}: event {event_id} was changed"),
            Self::Removed { position, event_id } => {
                write!(f, "position {position}: event {event_id} was removed, or made unreadable")
            }
            Self::Missing { from, to } if from == to => {
                write!(f, "position {from}: the event and its seal were removed")
            }
            Self::Missing { from, to } => {
                write!(f, "positions {from} to {to}: the events and their seals were removed")
            }
            Self::HeadMoved { position } => write!(f, "after position {position}: the end of the log was changed"),
            Self::CutMoved { position } => {
                write!(f, "before position {position}: the beginning of the log was changed")
            }
            Self::Unsealed { event_id } => write!(f, "event {event_id} was put into the log by somebody else"),
            Self::Vanished { event_id } => write!(f, "event {event_id} was removed before it was sealed"),
            Self::Waiting { event_id } => {
                write!(
                    f,
                    "event {event_id} waits for its seal for more than a minute: no node seals, or it is kept from it"
                )
            }
            Self::OffTheChain { event_id } => write!(f, "event {event_id} has a seal that is not on the chain"),
            Self::TooOld { position } => {
                write!(
                    f,
                    "position {position} was deleted by age: whether it was the one that was expected is not known"
                )
            }
            Self::NotExpected { position } => write!(f, "position {position}: this is not the log that was expected"),
        }
    }
}

/// A place on the chain that somebody wrote down, to see later whether the log still goes through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownPlace {
    /// The position.
    pub position: i64,
    /// The link there.
    pub link: ChainLink,
}

/// What a look at the whole security log found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogReport {
    /// What is wrong, in the order of the chain; the first [`LogReport::MOST`] of it.
    pub findings: Vec<LogFinding>,
    /// How much is wrong in all.
    pub found: u64,
    /// How many entries are on the chain.
    pub sealed: u64,
    /// Up to where old entries were deleted; 0 where none were.
    pub cut: i64,
    /// The newest entry on the chain, to be written down elsewhere.
    pub head: KnownPlace,
    /// When the oldest entry on the chain happened.
    pub oldest: Option<Timestamp>,
}

impl LogReport {
    /// How many findings are named.
    pub const MOST: usize = 10_000;

    pub(crate) fn add(&mut self, finding: LogFinding) {
        self.found += 1;
        if self.findings.len() < Self::MOST {
            self.findings.push(finding);
        }
    }
}
