use std::fmt;

use doorward_domain::store::{ChainEnds, ChainLink, ChainPlace};
use doorward_domain::{EventRecord, StoreError};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::RootSecret;
use crate::seal::keyed_digest;

/// What ties the entries of the security log to each other.
///
/// The link of an entry is a keyed digest (HMAC-SHA-256) of the link before it, its position and all of its fields. So a
/// changed, removed or moved entry does not fit its link, and without the key, which stands nowhere in the database, nobody
/// makes one that does. The two ends have a tag each, so that neither can be put elsewhere.
pub struct EventChain {
    key: Zeroizing<[u8; 32]>,
}

impl EventChain {
    /// The chain of an installation; its root secret is the key.
    #[must_use]
    pub fn new(root: &RootSecret) -> Self {
        Self { key: root.derive("doorward/event-chain/v1") }
    }

    /// The link of an entry at this position, behind that link.
    pub(crate) fn link(&self, before: &ChainLink, position: i64, record: &EventRecord) -> ChainLink {
        let message = [b"link".as_slice(), before, &position.to_be_bytes(), &record.to_bytes()].concat();
        keyed_digest(&self.key, &message)
    }

    /// The newest end of the chain.
    pub(crate) fn head(&self, position: i64, link: ChainLink) -> ChainPlace {
        ChainPlace { position, link, tag: self.tag(*b"head", position, &link) }
    }

    /// The oldest end of the chain.
    pub(crate) fn cut(&self, position: i64, link: ChainLink) -> ChainPlace {
        ChainPlace { position, link, tag: self.tag(*b"cut.", position, &link) }
    }

    /// Refuses a chain one of whose ends somebody else has moved: to go on there would make it good.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`].
    pub(crate) fn demand(&self, ends: &ChainEnds) -> Result<(), StoreError> {
        match self.holds(ends) {
            (true, true) => Ok(()),
            (false, _) => Err(broken("its head was moved")),
            (_, false) => Err(broken("its cut was moved")),
        }
    }

    /// Whether nobody but the holder of the key put the two ends where they are. Before anything was sealed, and before
    /// anything was cut off, they are at the start; the head is never in front of the cut.
    pub(crate) fn holds(&self, ends: &ChainEnds) -> (bool, bool) {
        let is_at = |place: &ChainPlace, made: ChainPlace| {
            *place == ChainPlace::START || bool::from(made.tag.ct_eq(&place.tag))
        };
        let ChainEnds { head, cut } = ends;
        let head_holds = is_at(head, self.head(head.position, head.link)) && head.position >= cut.position;
        (head_holds, is_at(cut, self.cut(cut.position, cut.link)))
    }

    fn tag(&self, end: [u8; 4], position: i64, link: &ChainLink) -> ChainLink {
        keyed_digest(&self.key, &[end.as_slice(), &position.to_be_bytes(), link].concat())
    }
}

/// The chain is not what Doorward has made. `events verify` tells where.
pub(crate) fn broken(how: &'static str) -> StoreError {
    StoreError::Corrupt { what: "chain of the security log", source: how.into() }
}

impl fmt::Debug for EventChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventChain(..)")
    }
}
