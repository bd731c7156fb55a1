use async_trait::async_trait;

use crate::{EmailAddress, Mail, MailId, QueuedMail, StoreError, Timestamp, UserId};

/// Whose turn it is to mail an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowance {
    /// What anybody can ask for by naming the address.
    Requested,
    /// What tells of a log-in that may not have been the owner's. This and the next are used when the first is spent,
    /// so that nobody can spend that to keep an owner in the dark.
    LogIns,
    /// What tells of a change to the account. Apart from log-ins, since whoever knows the password can make as many of
    /// those as they like.
    Notices,
}

/// The mails that wait to be delivered.
///
/// A mail is leased before it is worked on. While the lease lasts nobody else gets the mail, and with its end
/// anybody does, so a node that died holds nothing up. What ends a lease names it by its moment, and does nothing
/// when the lease has passed to somebody else.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait Outbox: Send {
    /// Takes one of the five mails that an address gets of an allowance between `since` and `now`, whatever its
    /// spelling; says whether one was left. MUST be one statement: of any number of callers, five get one.
    async fn take_allowance(
        &mut self,
        address: &EmailAddress,
        allowance: Allowance,
        now: Timestamp,
        since: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Adds a mail that has not been tried, due at the moment it was made.
    async fn push(&mut self, mail: &Mail) -> Result<(), StoreError>;

    /// Whether a mail is due.
    async fn has_due(&mut self, now: Timestamp) -> Result<bool, StoreError>;

    /// Leases up to `limit` mails that are due, the longest due first, all to the same domain, preferably one that
    /// nobody is at work on: a domain that is slow holds up no other.
    async fn lease(&mut self, now: Timestamp, until: Timestamp, limit: u32) -> Result<Vec<Mail>, StoreError>;

    /// Whether the lease still stands; it MUST NOT be ended by another unit until this one ends.
    async fn hold_lease(&mut self, id: MailId, until: Timestamp) -> Result<bool, StoreError>;

    /// Removes a leased mail, which was delivered or is moot; says whether the lease stood.
    async fn finish(&mut self, id: MailId, until: Timestamp) -> Result<bool, StoreError>;

    /// Ends a lease after a failed attempt. The mail is due again at `due_at`; with `None` it is a dead letter.
    async fn postpone(
        &mut self,
        id: MailId,
        until: Timestamp,
        due_at: Option<Timestamp>,
        attempts: u32,
        error: &str,
    ) -> Result<bool, StoreError>;

    /// Removes every mail of a user, and of nobody in particular to their address, that would carry a token, except the
    /// one that undoes a change of addresses.
    async fn cancel(&mut self, user_id: UserId, address: &EmailAddress) -> Result<(), StoreError>;

    /// Removes every mail of a user, and of nobody in particular to their address.
    async fn erase(&mut self, user_id: UserId, address: &EmailAddress) -> Result<(), StoreError>;

    /// Up to `limit` mails, oldest first.
    async fn list(&mut self, limit: u32) -> Result<Vec<QueuedMail>, StoreError>;

    /// The mail, or `None`.
    async fn find(&mut self, id: MailId) -> Result<Option<QueuedMail>, StoreError>;

    /// Makes a mail that nobody is at work on due now, a dead letter as well; says whether there was one.
    async fn requeue(&mut self, id: MailId, now: Timestamp) -> Result<bool, StoreError>;

    /// Removes a mail that nobody is at work on; says whether there was one.
    async fn remove(&mut self, id: MailId, now: Timestamp) -> Result<bool, StoreError>;

    /// Forgets up to `limit` allowances of which nothing was taken since `moment`; says how many.
    async fn forget_allowances(&mut self, moment: Timestamp, limit: u32) -> Result<u64, StoreError>;
}
