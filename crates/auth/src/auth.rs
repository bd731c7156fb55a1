use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use doorward_domain::store::RevocationPosition;
use doorward_domain::{
    Client, Clock, Entropy, EntropyUnavailable, EventId, EventKind, EventReason, MailComposer, MailTransport,
    PasswordPolicy, RequestId, SecurityEvent, SessionId, SessionPolicy, Store, Timestamp, UserId,
};

use secrecy::SecretString;

use crate::flood::Gates;
use crate::password::{PasswordHasher, PasswordScreen};
use crate::refusals::Refusals;
use crate::seen_sessions::SeenSessions;
use crate::token::{TokenIssuer, TokenVerifier};
use crate::unit::retrying;
use crate::{
    AccessTokens, DeviceToken, DeviceTokens, EventChain, Fault, OneTimeTokens, ProofOfWork, ProofRules, RefreshTokens,
    RegistrationMode, Revocations, ThrottleKeys, ThrottlePolicy, WebhookEndpoint,
};

/// Everything that users can do, on one set of ports. Cheap to clone.
#[derive(Clone)]
pub struct Auth {
    inner: Arc<Inner>,
}

struct Inner {
    parts: AuthParts,
    access_tokens: AccessTokens,
    seen: SeenSessions,
    gates: Gates,
    refusals: Refusals,
    /// How far the revocations have been read.
    position: Mutex<RevocationPosition>,
    /// The changes of keys that the last reading named.
    key_changes: Mutex<Vec<Timestamp>>,
}

/// What an [`Auth`] is made of. Every part is needed, so there is nothing to forget and nothing to fail.
pub struct AuthParts {
    /// The database.
    pub store: Arc<dyn Store>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Hashes and checks passwords.
    pub hasher: Arc<dyn PasswordHasher>,
    /// Knows the passwords that nobody may choose.
    pub screen: Arc<dyn PasswordScreen>,
    /// Makes access tokens.
    pub issuer: Arc<dyn TokenIssuer>,
    /// Checks access tokens.
    pub verifier: Arc<dyn TokenVerifier>,
    /// Makes and recognises refresh tokens.
    pub refresh_tokens: RefreshTokens,
    /// Knows what access tokens say though it no longer holds.
    pub revocations: Arc<dyn Revocations>,
    /// Makes and recognises the tokens that are mailed.
    pub one_time_tokens: OneTimeTokens,
    /// Makes and recognises what devices show to be known again.
    pub device_tokens: DeviceTokens,
    /// Names what is counted to be limited.
    pub throttle_keys: ThrottleKeys,
    /// Ties the entries of the security log to each other.
    pub event_chain: EventChain,
    /// Makes challenges for proofs of work, and checks their solutions.
    pub proof_of_work: ProofOfWork,
    /// Puts mails into words.
    pub composer: Arc<dyn MailComposer>,
    /// Sends them.
    pub transport: Arc<dyn MailTransport>,
    /// Who is told of security events.
    pub webhooks: Vec<Arc<WebhookEndpoint>>,
    /// The rules that an operator can set.
    pub settings: AuthSettings,
}

/// The rules that an operator can set.
#[derive(Clone, Debug)]
pub struct AuthSettings {
    /// Who may register.
    pub registration: RegistrationMode,
    /// What a new password must satisfy.
    pub passwords: PasswordPolicy,
    /// How long sessions last.
    pub sessions: SessionPolicy,
    /// How often what may be done.
    pub throttles: ThrottlePolicy,
    /// How long an access token lasts; an ended session is remembered for as long.
    pub access_token_lifetime: Duration,
    /// For how long access tokens are taken without word from the database of what has been revoked.
    pub staleness: Duration,
    /// How many verified access tokens are remembered, not to be verified again.
    pub remembered_tokens: usize,
    /// Where a proof of work is asked for, and how much.
    pub proofs: ProofRules,
    /// Where the pages are that mailed links open; without a slash at the end.
    pub public_url: String,
}

impl Auth {
    /// The use cases on these ports.
    #[must_use]
    pub fn from_parts(parts: AuthParts) -> Self {
        let access_tokens = AccessTokens::new(
            Arc::clone(&parts.verifier),
            Arc::clone(&parts.revocations),
            Arc::clone(&parts.clock),
            Some(parts.settings.staleness),
            parts.settings.remembered_tokens,
        );
        let position = Mutex::new(RevocationPosition::START);
        let gates = Gates::new(&parts.settings.throttles);
        Self {
            inner: Arc::new(Inner {
                parts,
                access_tokens,
                seen: SeenSessions::default(),
                gates,
                refusals: Refusals::default(),
                position,
                key_changes: Mutex::default(),
            }),
        }
    }

    /// Tells whether the database answers.
    ///
    /// # Errors
    ///
    /// [`Fault::Store`] when it does not.
    pub async fn ready(&self) -> Result<(), Fault> {
        self.store().read().await?.keys().all().await?;
        Ok(())
    }

    /// The public keys as a JWK Set, in JSON.
    #[must_use]
    pub fn jwks(&self) -> String {
        self.parts().verifier.jwks()
    }

    /// Who may register.
    #[must_use]
    pub fn registration_mode(&self) -> RegistrationMode {
        self.settings().registration
    }

    /// How many characters a new password has at least.
    #[must_use]
    pub fn shortest_password(&self) -> usize {
        self.settings().passwords.min_length
    }

    /// An id for a request that brought none of its own.
    #[must_use]
    pub fn new_request_id(&self) -> RequestId {
        // Without randomness nothing else works either, and the log still tells the requests apart by time.
        let id = self.fresh(EventId::new).map(|id| id.to_string());
        id.ok().and_then(|id| RequestId::parse(&id)).unwrap_or_else(RequestId::unknown)
    }

    /// A device token as a device keeps it.
    #[must_use]
    pub fn device_token_text(&self, token: &DeviceToken) -> SecretString {
        self.parts().device_tokens.text(token)
    }

    /// Resolves when something may have been revoked elsewhere: a hint to look at once. A database that gives none
    /// never resolves it.
    ///
    /// # Errors
    ///
    /// [`Fault::Store`] when the database cannot be listened to.
    pub async fn revocation_hint(&self) -> Result<(), Fault> {
        Ok(self.store().revocation_hint().await?)
    }

    pub(crate) fn parts(&self) -> &AuthParts {
        &self.inner.parts
    }

    pub(crate) fn access_tokens(&self) -> &AccessTokens {
        &self.inner.access_tokens
    }

    pub(crate) fn seen(&self) -> &SeenSessions {
        &self.inner.seen
    }

    pub(crate) fn gates(&self) -> &Gates {
        &self.inner.gates
    }

    pub(crate) fn refusals(&self) -> &Refusals {
        &self.inner.refusals
    }

    pub(crate) fn key_changes(&self) -> &Mutex<Vec<Timestamp>> {
        &self.inner.key_changes
    }

    pub(crate) fn position(&self) -> &Mutex<RevocationPosition> {
        &self.inner.position
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.parts().store
    }

    pub(crate) fn settings(&self) -> &AuthSettings {
        &self.parts().settings
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.parts().clock.now()
    }

    /// A fresh id of any kind, from its `new`.
    pub(crate) fn fresh<Id>(
        &self,
        new: impl FnOnce(&dyn Clock, &dyn Entropy) -> Result<Id, EntropyUnavailable>,
    ) -> Result<Id, EntropyUnavailable> {
        new(&*self.parts().clock, &*self.parts().entropy)
    }

    /// An entry for the security log. A `reason` makes it a failure.
    pub(crate) fn event(
        &self,
        kind: EventKind,
        reason: Option<EventReason>,
        subject: (Option<UserId>, Option<SessionId>),
        client: &Client,
    ) -> Result<SecurityEvent, EntropyUnavailable> {
        Ok(SecurityEvent {
            id: self.fresh(EventId::new)?,
            at: self.now(),
            kind,
            reason,
            user_id: subject.0,
            session_id: subject.1,
            client: client.clone(),
            count: 1,
        })
    }

    /// Records a refusal in a unit of its own, or counts it when many of its sort have come.
    pub(crate) async fn record(
        &self,
        kind: EventKind,
        reason: EventReason,
        subject: (Option<UserId>, Option<SessionId>),
        client: &Client,
    ) -> Result<(), Fault> {
        if !self.refusals().is_written(kind, reason, self.now()) {
            return Ok(());
        }
        let event = self.event(kind, Some(reason), subject, client)?;
        retrying(|| async {
            let mut unit = self.store().write().await?;
            unit.events().append(&event).await?;
            Ok(unit.commit().await?)
        })
        .await
    }

    /// Refuses the session's access tokens on this node from now on, for as long as any of them could be valid.
    ///
    /// Called right before the unit that ends the session is committed, not after: whoever asked may hang up while
    /// the commit is under way, and then nothing behind it runs. Should the commit fail, the session is refused
    /// here although it lives, which is what was asked for.
    pub(crate) fn note_ended(&self, session: SessionId, ended_at: Timestamp) {
        self.parts().revocations.note_ended(session, self.sayable_until(ended_at));
    }

    /// The same for several sessions.
    pub(crate) fn note_all_ended(&self, sessions: &[SessionId], now: Timestamp) {
        for session in sessions {
            self.note_ended(*session, now);
        }
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").field("settings", self.settings()).finish_non_exhaustive()
    }
}
