use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use doorward_domain::{SessionId, Timestamp, UserId};
use uuid::Uuid;

/// The port that knows what access tokens say though it no longer holds. Asked for every request, and so never asks
/// the database.
///
/// Something needs to be remembered only while an access token can still say it.
pub trait Revocations: Send + Sync {
    /// Remembers that a session has ended, until `until` at least.
    fn note_ended(&self, session: SessionId, until: Timestamp);

    /// Remembers which roles a user has now, until `until` at least.
    fn note_roles(&self, user: UserId, roles: Vec<String>, until: Timestamp);

    /// What has become of a session and its user.
    fn check(&self, session: SessionId, user: UserId) -> Standing;

    /// Forgets what no access token can say any more at `now`.
    fn forget_past(&self, now: Timestamp);

    /// Notes that everything which had happened by `at` is known. The clock may have gone back since the last time.
    fn heard(&self, at: Timestamp);

    /// The moment up to which everything is known; `None` when nothing has been heard yet.
    fn last_heard(&self) -> Option<Timestamp>;

    /// What became known after a feed was last read, or everything when `after` is none of this process's.
    fn feed(&self, after: Option<&str>) -> Feed;
}

/// What has become of a session and its user since an access token was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The session has ended.
    Ended,
    /// It goes on, as far as is known.
    Live {
        /// The user's roles, where they have changed of late.
        roles: Option<Arc<[String]>>,
    },
}

/// What another service is told, so that it knows as well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Feed {
    /// Where to go on reading. Of this process alone: another one begins anew.
    pub cursor: String,
    /// Sessions that have ended, and until when an access token might name them.
    pub ended: Vec<(SessionId, Timestamp)>,
    /// Roles that have changed, and until when an access token might say otherwise.
    pub roles: Vec<(UserId, Arc<[String]>, Timestamp)>,
}

impl Feed {
    /// Whether there is nothing new in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ended.is_empty() && self.roles.is_empty()
    }
}

/// What this process knows.
#[derive(Debug)]
pub struct MemoryRevocations {
    /// Tells the cursors of this process from those of another.
    epoch: Uuid,
    known: RwLock<Known>,
    /// In microseconds; the least value stands for never.
    heard: AtomicI64,
}

#[derive(Debug, Default)]
struct Known {
    ended: HashMap<SessionId, Timestamp>,
    roles: HashMap<UserId, (Arc<[String]>, Timestamp)>,
    /// In the order in which it became known; the numbers have no gaps.
    feed: VecDeque<(Item, Timestamp)>,
    /// The number of the first item of the feed.
    first: u64,
}

#[derive(Clone, Debug)]
enum Item {
    Ended(SessionId),
    Roles(UserId, Arc<[String]>),
}

impl Default for MemoryRevocations {
    /// An empty memory of a process that serves no feed.
    fn default() -> Self {
        Self::new(Uuid::nil())
    }
}

impl MemoryRevocations {
    /// An empty memory. `epoch` is to be another one in each process that serves a feed.
    #[must_use]
    pub fn new(epoch: Uuid) -> Self {
        Self { epoch, known: RwLock::default(), heard: AtomicI64::new(i64::MIN) }
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many items of the feed a reader with this cursor has read.
    fn read_before(&self, cursor: &str) -> Option<u64> {
        let (epoch, number) = cursor.split_once('.')?;
        let number = number.parse().ok()?;
        (epoch == self.epoch.simple().to_string()).then_some(number)
    }
}

impl Revocations for MemoryRevocations {
    fn note_ended(&self, session: SessionId, until: Timestamp) {
        let mut known = self.write();
        // Once is enough, however often it is said: a session has no new tokens once it has ended.
        if let Some(known_until) = known.ended.get_mut(&session) {
            *known_until = until.max(*known_until);
        } else {
            known.ended.insert(session, until);
            known.feed.push_back((Item::Ended(session), until));
        }
    }

    fn note_roles(&self, user: UserId, roles: Vec<String>, until: Timestamp) {
        let roles: Arc<[String]> = roles.into();
        let mut known = self.write();
        let before = known.roles.insert(user, (Arc::clone(&roles), until));
        if before.is_none_or(|(known_roles, known_until)| known_roles != roles || known_until < until) {
            known.feed.push_back((Item::Roles(user, roles), until));
        }
    }

    fn check(&self, session: SessionId, user: UserId) -> Standing {
        let known = self.read();
        if known.ended.contains_key(&session) {
            return Standing::Ended;
        }
        Standing::Live { roles: known.roles.get(&user).map(|(roles, _)| Arc::clone(roles)) }
    }

    fn forget_past(&self, now: Timestamp) {
        let mut known = self.write();
        known.ended.retain(|_, until| now < *until);
        known.roles.retain(|_, (_, until)| now < *until);
        while known.feed.front().is_some_and(|(_, until)| *until <= now) {
            known.feed.pop_front();
            known.first += 1;
        }
    }

    fn heard(&self, at: Timestamp) {
        self.heard.store(at.unix_micros(), Ordering::Release);
    }

    fn last_heard(&self) -> Option<Timestamp> {
        let at = self.heard.load(Ordering::Acquire);
        (at != i64::MIN).then(|| Timestamp::from_unix_micros(at))
    }

    fn feed(&self, after: Option<&str>) -> Feed {
        let known = self.read();
        let end = known.first.saturating_add(u64::try_from(known.feed.len()).unwrap_or(u64::MAX));
        let read = after.and_then(|cursor| self.read_before(cursor)).filter(|read| *read <= end).unwrap_or(0);
        let skipped = usize::try_from(read.saturating_sub(known.first)).unwrap_or(usize::MAX);
        let mut ended = HashMap::new();
        let mut roles_of = HashMap::new();
        // The last word on each is what counts.
        for (item, until) in known.feed.iter().skip(skipped) {
            match item {
                Item::Ended(session) => drop(ended.insert(*session, *until)),
                Item::Roles(user, roles) => drop(roles_of.insert(*user, (Arc::clone(roles), *until))),
            }
        }
        Feed {
            cursor: format!("{}.{end}", self.epoch.simple()),
            ended: ended.into_iter().collect(),
            roles: roles_of.into_iter().map(|(user, (roles, until))| (user, roles, until)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: Uuid = Uuid::from_u128(0xe);
    const SESSION: SessionId = SessionId::from_uuid(Uuid::from_u128(1));
    const OTHER: SessionId = SessionId::from_uuid(Uuid::from_u128(2));
    const USER: UserId = UserId::from_uuid(Uuid::from_u128(3));

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_unix_micros(micros)
    }

    fn live(roles: Option<&[&str]>) -> Standing {
        Standing::Live { roles: roles.map(|roles| roles.iter().map(|role| (*role).to_owned()).collect()) }
    }

    fn words(roles: &[&str]) -> Vec<String> {
        roles.iter().map(|role| (*role).to_owned()).collect()
    }

    #[test]
    fn an_ended_session_is_remembered_until_its_time() {
        let revocations = MemoryRevocations::new(EPOCH);
        revocations.note_ended(SESSION, at(100));
        revocations.forget_past(at(99));
        assert_eq!(revocations.check(SESSION, USER), Standing::Ended);
        assert_eq!(revocations.check(OTHER, USER), live(None));
        revocations.forget_past(at(100));
        assert_eq!(revocations.check(SESSION, USER), live(None));
        assert!(revocations.feed(None).is_empty());
    }

    #[test]
    fn the_newest_roles_count_until_their_time() {
        let revocations = MemoryRevocations::new(EPOCH);
        revocations.note_roles(USER, words(&["admin"]), at(100));
        revocations.note_roles(USER, Vec::new(), at(200));
        assert_eq!(revocations.check(SESSION, USER), live(Some(&[])));
        revocations.forget_past(at(150));
        assert_eq!(revocations.check(SESSION, USER), live(Some(&[])));
        revocations.forget_past(at(200));
        assert_eq!(revocations.check(SESSION, USER), live(None));
    }

    #[test]
    fn what_was_heard_goes_back_with_the_clock() {
        let revocations = MemoryRevocations::new(EPOCH);
        assert_eq!(revocations.last_heard(), None);
        for moment in [5, 3] {
            revocations.heard(at(moment));
            assert_eq!(revocations.last_heard(), Some(at(moment)));
        }
    }

    #[test]
    fn a_feed_goes_on_where_it_was_left() {
        let revocations = MemoryRevocations::new(EPOCH);
        revocations.note_ended(SESSION, at(100));
        let first = revocations.feed(None);
        assert_eq!(first.ended, [(SESSION, at(100))]);
        let second = revocations.feed(Some(&first.cursor));
        assert!(second.is_empty());
        assert_eq!(second.cursor, first.cursor);

        revocations.note_ended(SESSION, at(100));
        revocations.note_ended(SESSION, at(170));
        assert!(revocations.feed(Some(&first.cursor)).is_empty(), "nothing new was said");
        revocations.note_roles(USER, words(&["editor"]), at(140));
        revocations.note_roles(USER, words(&["admin"]), at(150));
        revocations.note_ended(OTHER, at(200));
        revocations.forget_past(at(100));
        let third = revocations.feed(Some(&first.cursor));
        assert_eq!(third.ended, [(OTHER, at(200))]);
        assert_eq!(third.roles, [(USER, words(&["admin"]).into(), at(150))]);
    }

    #[test]
    fn a_cursor_of_another_process_or_of_none_begins_anew() {
        let revocations = MemoryRevocations::new(EPOCH);
        revocations.note_ended(SESSION, at(100));
        let other = MemoryRevocations::new(Uuid::from_u128(0xf)).feed(None).cursor;
        let ahead = format!("{}.7", EPOCH.simple());
        for cursor in ["", ".", "x.1", other.as_str(), ahead.as_str()] {
            assert_eq!(revocations.feed(Some(cursor)).ended, [(SESSION, at(100))], "{cursor:?}");
        }
    }
}
