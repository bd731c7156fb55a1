use std::sync::Arc;
use std::time::Duration;

use doorward_auth::Revocations;
use doorward_domain::{Clock, SessionId, Timestamp, UserId};
use reqwest::Client;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::task::AbortHandle;
use url::Url;
use uuid::Uuid;

use super::fetch::{self, FetchError, PATIENCE};
use crate::problem::chain;

/// Every session that ended within a token's lifetime, at a hundred bytes each: above a hundred thousand.
const LONGEST_FEED: usize = 16 * 1024 * 1024;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Between two good answers. Two nodes that do not know each other's cursors answer at once, every time.
const BREATH: Duration = Duration::from_millis(100);

/// The client of the issuer's revocation feed, a long poll.
pub(super) struct RevocationFeed {
    pub(super) client: Client,
    pub(super) url: Url,
    pub(super) client_id: String,
    pub(super) client_secret: SecretString,
    pub(super) revocations: Arc<dyn Revocations>,
    pub(super) clock: Arc<dyn Clock>,
    /// How long the issuer may hold a request back while it has nothing new.
    pub(super) wait: Duration,
}

/// Ends the task that follows a feed when it is dropped.
pub(super) struct Following(AbortHandle);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.abort();
    }
}

// Members that are added later are none of this reader's business, so unknown ones are let be.
#[derive(Deserialize)]
struct WireFeed {
    cursor: String,
    ended: Vec<WireEnded>,
    roles: Vec<WireRoles>,
}

#[derive(Deserialize)]
struct WireEnded {
    session: Uuid,
    until: Moment,
}

#[derive(Deserialize)]
struct WireRoles {
    user: Uuid,
    roles: Vec<String>,
    until: Moment,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct Moment(Timestamp);

impl TryFrom<String> for Moment {
    type Error = time::error::Parse;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        OffsetDateTime::parse(&text, &Rfc3339).map(|moment| Self(moment.into()))
    }
}

impl RevocationFeed {
    /// Takes what is known already, without waiting for news, and follows the feed from there. A feed that does not
    /// answer is asked again, later and later.
    pub(super) async fn start(self) -> Following {
        let first = self.poll(None, Duration::ZERO).await;
        Following(tokio::spawn(self.follow(first)).abort_handle())
    }

    async fn follow(self, first: Result<String, FetchError>) {
        let (mut cursor, mut pause, mut answer) = (None, FIRST_PAUSE, first);
        loop {
            match answer {
                Ok(next) => {
                    if pause > FIRST_PAUSE {
                        tracing::info!("the revocation feed answers again");
                    }
                    (cursor, pause) = (Some(next), FIRST_PAUSE);
                    tokio::time::sleep(BREATH).await;
                }
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "the revocation feed could not be read");
                    tokio::time::sleep(pause).await;
                    pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
                }
            }
            answer = self.poll(cursor.as_deref(), self.wait).await;
        }
    }

    /// One question; the answer is noted whole or not at all. Returns where the next one goes on.
    async fn poll(&self, after: Option<&str>, wait: Duration) -> Result<String, FetchError> {
        let mut url = self.url.clone();
        if let Some(after) = after {
            url.query_pairs_mut().append_pair("after", after);
        }
        url.query_pairs_mut().append_pair("wait", &wait.as_secs().to_string());
        let secret = self.client_secret.expose_secret();
        let request = self.client.get(url).basic_auth(&self.client_id, Some(secret));
        let text = fetch::text(request, LONGEST_FEED, wait.saturating_add(PATIENCE)).await?;
        let feed: WireFeed = serde_json::from_str(&text)?;
        for ended in feed.ended {
            self.revocations.note_ended(SessionId::from_uuid(ended.session), ended.until.0);
        }
        for changed in feed.roles {
            self.revocations.note_roles(UserId::from_uuid(changed.user), changed.roles, changed.until.0);
        }
        let now = self.clock.now();
        self.revocations.forget_past(now);
        self.revocations.heard(now);
        Ok(feed.cursor)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use doorward_auth::{AuthenticationError, Unauthenticated};

    use crate::verifier::testing::{Behaviour, CLIENT_ID, CLIENT_SECRET, Issuer, TestKey, USER, eventually};
    use crate::verifier::{Verifier, VerifierBuilder};

    const REFUSED: Option<AuthenticationError> = Some(AuthenticationError::Unauthenticated(Unauthenticated));
    const STALE: Option<AuthenticationError> = Some(AuthenticationError::Stale);

    fn listening(issuer: &Issuer) -> VerifierBuilder {
        issuer.verifier().revocation_feed(CLIENT_ID, CLIENT_SECRET.to_owned().into())
    }

    async fn outcome(verifier: &Verifier, issuer: &Issuer, key: &TestKey) -> Option<AuthenticationError> {
        verifier.authenticate(&issuer.token(key)).await.err()
    }

    async fn issuer() -> (Issuer, TestKey) {
        let (issuer, key) = (Issuer::start().await, TestKey::new(1));
        issuer.publish(&[&key]);
        (issuer, key)
    }

    #[tokio::test]
    async fn what_had_ended_before_the_start_is_known_with_the_first_request() {
        let (issuer, key) = issuer().await;
        issuer.end_session();
        let verifier = listening(&issuer).start().await.unwrap();
        assert_eq!(outcome(&verifier, &issuer, &key).await, REFUSED);
    }

    #[tokio::test]
    async fn a_session_that_ends_and_roles_that_change_are_heard_of() {
        let (issuer, key) = issuer().await;
        let verifier = listening(&issuer).start().await.unwrap();
        let token = issuer.token(&key);
        assert!(verifier.authenticate(&token).await.unwrap().roles().is_empty());

        issuer.change_roles(&["admin"]);
        eventually(async || verifier.authenticate(&token).await.unwrap().has_role("admin")).await;
        assert_eq!(verifier.authenticate(&token).await.unwrap().id().uuid(), USER);

        issuer.end_session();
        eventually(async || verifier.authenticate(&token).await.is_err()).await;
        assert_eq!(outcome(&verifier, &issuer, &key).await, REFUSED);
    }

    #[tokio::test]
    async fn silence_beyond_the_staleness_refuses_everybody_for_now() {
        let (issuer, key) = issuer().await;
        let verifier = listening(&issuer).start().await.unwrap();
        issuer.time.advance(Duration::from_secs(59));
        assert_eq!(outcome(&verifier, &issuer, &key).await, None);
        issuer.time.advance(Duration::from_secs(2));
        assert_eq!(outcome(&verifier, &issuer, &key).await, STALE);
        issuer.change_roles(&[]);
        eventually(async || outcome(&verifier, &issuer, &key).await.is_none()).await;
    }

    #[tokio::test]
    async fn a_feed_that_is_down_at_the_start_is_asked_again() {
        let (issuer, key) = issuer().await;
        issuer.behave(Behaviour::Fail);
        let verifier = listening(&issuer).start().await.unwrap();
        issuer.behave(Behaviour::Serve);
        assert_eq!(outcome(&verifier, &issuer, &key).await, STALE);
        eventually(async || outcome(&verifier, &issuer, &key).await.is_none()).await;
    }

    #[tokio::test]
    async fn a_wrong_client_lets_nobody_in() {
        let (issuer, key) = issuer().await;
        let builder = issuer.verifier().revocation_feed(CLIENT_ID, "dwc_wrong".to_owned().into());
        assert_eq!(outcome(&builder.start().await.unwrap(), &issuer, &key).await, STALE);
    }

    #[tokio::test]
    async fn nobody_asks_once_the_last_verifier_is_gone() {
        let (issuer, _) = issuer().await;
        let verifier = listening(&issuer).start().await.unwrap();
        let other = verifier.clone();
        drop(verifier);
        issuer.change_roles(&[]);
        let before = issuer.polls();
        eventually(async || issuer.polls() > before).await;

        drop(other);
        tokio::time::sleep(Duration::from_millis(300)).await;
        let last = issuer.polls();
        issuer.end_session();
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(issuer.polls(), last);
    }
}
