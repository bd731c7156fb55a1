use doorward_domain::store::WriteUnit;
use doorward_domain::{
    Client, EndReason, EventKind, EventReason, MailKind, Reuse, Session, SessionId, Timestamp, User, UserId,
    judge_reuse,
};
use secrecy::SecretString;
use thiserror::Error;

use crate::unit::retrying;
use crate::{Auth, Fault, RefreshToken, SessionGrant};

/// A wish to go on with a session.
#[derive(Clone, Debug)]
pub struct RotateRefresh {
    /// The refresh token, as the client has it.
    pub refresh_token: SecretString,
}

/// Why the session does not go on.
#[derive(Debug, Error)]
pub enum RefreshError {
    /// The token is unknown, expired, revoked or replayed; which of these is not said.
    #[error("the refresh token is not valid")]
    InvalidRefreshToken,
    /// Nobody's mistake.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// What a unit of work decided about a refresh token.
enum Decision {
    /// The session goes on with the token's successor.
    Continued(Box<(Session, User)>),
    /// It does not, and this is why.
    Refused { reason: EventReason, user_id: Option<UserId> },
}

impl Auth {
    /// Exchanges a refresh token for its successor and a new access token.
    ///
    /// A token has one successor, whoever asks and however often: parallel tabs, retries and lost responses
    /// get the same one. An older token is a replay; its whole session ends, and that ending is committed
    /// although the answer is an error (RFC 9700 section 4.14.2).
    ///
    /// # Errors
    ///
    /// [`RefreshError::InvalidRefreshToken`], recorded in the security log by then.
    pub async fn refresh(&self, request: RotateRefresh, client: &Client) -> Result<SessionGrant, RefreshError> {
        if let Err(refused) = self.pass_refresh(client) {
            self.record(EventKind::Refresh, EventReason::ClientLimit, (None, None), client).await?;
            return Err(Fault::from(refused).into());
        }
        let Some(token) = self.parts().refresh_tokens.recognise(&request.refresh_token) else {
            // Not from here, so the database need not be asked about it.
            self.record(EventKind::Refresh, EventReason::UnknownToken, (None, None), client).await?;
            return Err(RefreshError::InvalidRefreshToken);
        };
        if let Err(refused) = self.pass_session(token.session_id()) {
            let subject = (None, Some(token.session_id()));
            self.record(EventKind::Refresh, EventReason::SessionLimit, subject, client).await?;
            return Err(Fault::from(refused).into());
        }
        let successor = self.parts().refresh_tokens.successor(&token);
        let now = self.now();
        let decision = retrying(|| async {
            let mut unit = self.store().write().await?;
            let decision = self.rotate(&mut *unit, &token, &successor, client, now).await?;
            let session_id = Some(token.session_id());
            let event = match &decision {
                Decision::Continued(grantee) => {
                    let user_id = Some(grantee.0.user_id);
                    self.event(EventKind::Refresh, None, (user_id, session_id), client)?
                }
                Decision::Refused { reason, user_id } => {
                    self.event(EventKind::Refresh, Some(*reason), (*user_id, session_id), client)?
                }
            };
            unit.events().append(&event).await?;
            if matches!(decision, Decision::Refused { reason: EventReason::Replay, .. }) {
                self.note_ended(token.session_id(), now);
            }
            unit.commit().await?;
            Ok(decision)
        })
        .await?;

        match decision {
            Decision::Continued(grantee) => {
                let (session, user) = *grantee;
                Ok(self.grant(&session, user, successor, now)?)
            }
            Decision::Refused { .. } => Err(RefreshError::InvalidRefreshToken),
        }
    }

    async fn rotate(
        &self,
        unit: &mut dyn WriteUnit,
        token: &RefreshToken,
        successor: &RefreshToken,
        client: &Client,
        now: Timestamp,
    ) -> Result<Decision, Fault> {
        let id = token.session_id();
        let refused = |reason, user_id| Ok(Decision::Refused { reason, user_id });
        // Holding the session sends everybody with one of its tokens through here one after the other.
        let Some(session) = unit.sessions().hold(id).await? else {
            return refused(EventReason::UnknownToken, None);
        };
        let user_id = Some(session.user_id);
        if !session.is_live(now) {
            return refused(EventReason::SessionEnded, user_id);
        }
        let Some(user) = unit.users().find(session.user_id).await? else {
            return refused(EventReason::UnknownAccount, user_id);
        };
        if user.disabled() {
            return refused(EventReason::AccountDisabled, user_id);
        }

        if unit.sessions().consume_refresh(id, token.generation(), &token.hash(), now).await? {
            unit.sessions().insert_refresh(id, successor.generation(), &successor.hash()).await?;
            let idle_expires_at = now.plus(self.settings().sessions.idle).min(session.expires_at);
            unit.sessions().touch(id, now, idle_expires_at).await?;
            let cutoff = now.minus(self.settings().sessions.reuse_window);
            unit.sessions().forget_refresh(id, cutoff).await?;
            let session = Session { last_seen_at: now, idle_expires_at, ..session };
            return Ok(Decision::Continued(Box::new((session, user))));
        }
        match self.judge(unit, id, token, successor, now).await? {
            Some(Reuse::Repeat) => Ok(Decision::Continued(Box::new((session, user)))),
            Some(Reuse::Replay) => {
                unit.sessions().end(id, EndReason::Replayed, now).await?;
                self.queue_notice(unit, MailKind::RefreshReplayed, &user, client).await?;
                refused(EventReason::Replay, user_id)
            }
            None => refused(EventReason::UnknownToken, user_id),
        }
    }

    /// What it means that a token has been used before; `None` when it is not the token that was handed out.
    async fn judge(
        &self,
        unit: &mut dyn WriteUnit,
        id: SessionId,
        token: &RefreshToken,
        successor: &RefreshToken,
        now: Timestamp,
    ) -> Result<Option<Reuse>, Fault> {
        let presented = unit.sessions().find_refresh(id, token.generation()).await?;
        if presented.is_some_and(|record| record.hash != token.hash()) {
            return Ok(None);
        }
        let known = unit.sessions().find_refresh(id, successor.generation()).await?;
        if known.as_ref().is_some_and(|record| record.hash != successor.hash()) {
            return Ok(None);
        }
        Ok(Some(judge_reuse(known.as_ref(), now, self.settings().sessions.reuse_window)))
    }
}

#[cfg(test)]
mod tests {
    use doorward_domain::store::MockUnit;
    use doorward_domain::{Mail, RefreshTokenHash, RefreshTokenRecord};
    use secrecy::ExposeSecret;

    use super::*;
    use crate::testing::{
        CountingEntropy, DAY, NOW, REFUSED, SECOND, SESSION_ID, Seen, Setup, USER_ID, access_token, client,
        disabled_user, email, expect_event, has_ended, issued_text, queueing, recording, refresh_tokens, session, user,
    };
    use crate::{RefreshTokens, RegistrationMode, RootSecret};

    fn setup() -> Setup {
        Setup::new(RegistrationMode::Verified)
    }

    /// The first token of the session, the same each time.
    fn first() -> RefreshToken {
        refresh_tokens().first(SESSION_ID, &CountingEntropy::default()).unwrap()
    }

    fn successor() -> RefreshToken {
        refresh_tokens().successor(&first())
    }

    fn request() -> RotateRefresh {
        RotateRefresh { refresh_token: first().to_text() }
    }

    fn record(token: &RefreshToken, used_at: Option<Timestamp>) -> RefreshTokenRecord {
        RefreshTokenRecord { generation: token.generation(), hash: token.hash(), used_at }
    }

    /// A unit that finds the session.
    fn holding(session: Option<Session>) -> MockUnit {
        let mut unit = MockUnit::default();
        let hold = unit.sessions.expect_hold().times(1);
        hold.withf(|id| *id == SESSION_ID).returning(move |_| Ok(session.clone()));
        unit
    }

    /// A unit that finds the session, live, and its user.
    fn holding_live(user: Option<User>) -> MockUnit {
        let mut unit = holding(Some(session()));
        let find = unit.users.expect_find().times(1);
        find.withf(|id| *id == USER_ID).returning(move |_| Ok(user.clone()));
        unit
    }

    /// Expects the first token to be consumed, which succeeds the first time alone.
    fn consume(unit: &mut MockUnit, first_time: bool) {
        let consume = unit.sessions.expect_consume_refresh().times(1);
        let consume = consume.withf(|id, generation, hash, now| {
            (*id, *generation, *now) == (SESSION_ID, 0, NOW) && *hash == first().hash()
        });
        consume.returning(move |_, _, _, _| Ok(first_time));
    }

    /// A unit in which the first token has been used, with what is known of it and of its successor.
    fn used_before(presented: Option<RefreshTokenRecord>, known: Option<RefreshTokenRecord>) -> MockUnit {
        let mut unit = holding_live(Some(user()));
        consume(&mut unit, false);
        let find = unit.sessions.expect_find_refresh();
        find.withf(|id, _| *id == SESSION_ID).returning(move |_, generation| match generation {
            0 => Ok(presented.clone()),
            1 => Ok(known.clone()),
            other => panic!("generation {other} is of no interest"),
        });
        unit
    }

    fn records(reason: Option<EventReason>, unit: &mut MockUnit) {
        expect_event(unit, EventKind::Refresh, reason, (Some(USER_ID), Some(SESSION_ID)));
    }

    fn is_invalid(outcome: &Result<SessionGrant, RefreshError>) -> bool {
        matches!(outcome, Err(RefreshError::InvalidRefreshToken))
    }

    #[pollster::test]
    async fn a_forged_token_is_refused_without_asking_for_its_session() {
        let other_key = RootSecret::generate(&CountingEntropy::starting_at(9_000)).unwrap();
        let foreign = RefreshTokens::new(&other_key).first(SESSION_ID, &CountingEntropy::default()).unwrap();
        let genuine = first().to_text();
        for text in ["", "dwr_", "not a token", foreign.to_text().expose_secret(), &genuine.expose_secret()[1..]] {
            let setup = setup();
            let written = setup.store.plan_write(recording(EventKind::Refresh, EventReason::UnknownToken, None));

            let forged = RotateRefresh { refresh_token: SecretString::from(text.to_owned()) };
            let outcome = setup.auth().refresh(forged, &client()).await;

            assert!(is_invalid(&outcome), "{text}: {outcome:?}");
            assert!(written.yes());
        }
    }

    #[pollster::test]
    async fn the_first_use_rotates_and_never_extends_beyond_the_absolute_limit() {
        for (idle, idle_expires_at) in [(5 * DAY, NOW.plus(5 * DAY)), (30 * DAY, session().expires_at)] {
            let mut unit = holding_live(Some(user()));
            consume(&mut unit, true);
            let insert = unit.sessions.expect_insert_refresh().times(1);
            let insert = insert
                .withf(|id, generation, hash| (*id, *generation) == (SESSION_ID, 1) && *hash == successor().hash());
            insert.returning(|_, _, _| Ok(()));
            let touch = unit.sessions.expect_touch().times(1);
            let touch = touch.withf(move |id, now, until| (*id, *now, *until) == (SESSION_ID, NOW, idle_expires_at));
            touch.returning(|_, _, _| Ok(()));
            let forget = unit.sessions.expect_forget_refresh().times(1);
            let forget = forget.withf(|id, cutoff| (*id, *cutoff) == (SESSION_ID, NOW.minus(10 * SECOND)));
            forget.returning(|_, _| Ok(()));
            records(None, &mut unit);
            let mut setup = setup();
            setup.settings.sessions.idle = idle;
            let written = setup.store.plan_write(unit);

            let grant = setup.auth().refresh(request(), &client()).await.unwrap();

            assert!(written.yes());
            assert_eq!(grant.refresh_token.hash(), successor().hash());
            assert_eq!(grant.refresh_expires_in, idle_expires_at.since(NOW));
            assert_eq!((grant.session_id, grant.user), (SESSION_ID, user()));
            assert_eq!(grant.access_token.text.expose_secret(), issued_text(SESSION_ID).expose_secret());
        }
    }

    #[pollster::test]
    async fn a_repeated_use_gives_the_same_successor_and_changes_nothing() {
        let long_ago = Some(NOW.minus(DAY));
        for successor_used_at in [None, Some(NOW), Some(NOW.minus(9 * SECOND))] {
            for presented in [Some(record(&first(), long_ago)), None] {
                let mut unit = used_before(presented, Some(record(&successor(), successor_used_at)));
                records(None, &mut unit);
                let setup = setup();
                let written = setup.store.plan_write(unit);
                let auth = setup.auth();

                let grant = auth.refresh(request(), &client()).await.unwrap();

                assert!(written.yes());
                let (text, expected) = (grant.refresh_token.to_text(), successor().to_text());
                assert_eq!(text.expose_secret(), expected.expose_secret());
                assert_eq!(grant.refresh_expires_in, DAY, "the limits stay as they were");
                assert!(!has_ended(&auth, SESSION_ID));
            }
        }
    }

    #[pollster::test]
    async fn a_replay_ends_the_session_and_commits_that_although_the_answer_is_an_error() {
        let long_ago = NOW.minus(DAY);
        for (presented, known) in [
            (None, None),
            (Some(record(&first(), Some(long_ago))), None),
            (Some(record(&first(), Some(long_ago))), Some(record(&successor(), Some(NOW.minus(10 * SECOND))))),
            (None, Some(record(&successor(), Some(long_ago)))),
        ] {
            let mut unit = used_before(presented, known);
            let end = unit.sessions.expect_end().times(1);
            let end = end.withf(|id, reason, now| (*id, *reason, *now) == (SESSION_ID, EndReason::Replayed, NOW));
            end.returning(|_, _, _| Ok(true));
            records(Some(EventReason::Replay), &mut unit);
            let setup = setup();
            let written = setup.store.plan_write(unit);
            let auth = setup.auth();

            let outcome = auth.refresh(request(), &client()).await;

            assert!(is_invalid(&outcome), "{outcome:?}");
            assert!(written.yes());
            assert!(has_ended(&auth, SESSION_ID));
            assert_eq!(auth.authenticate(&access_token()), REFUSED);
        }
    }

    #[pollster::test]
    async fn a_token_with_another_hash_than_was_stored_is_refused_and_ends_nothing() {
        let other = |token: &RefreshToken| RefreshTokenRecord {
            hash: RefreshTokenHash::from_bytes([7; 32]),
            ..record(token, None)
        };
        for (presented, known) in [
            (Some(other(&first())), Some(record(&successor(), None))),
            (Some(other(&first())), None),
            (Some(record(&first(), Some(NOW))), Some(other(&successor()))),
        ] {
            let mut unit = used_before(presented, known);
            records(Some(EventReason::UnknownToken), &mut unit);
            let setup = setup();
            let written = setup.store.plan_write(unit);
            let auth = setup.auth();

            let outcome = auth.refresh(request(), &client()).await;

            assert!(is_invalid(&outcome), "{outcome:?}");
            assert!(written.yes());
            assert!(!has_ended(&auth, SESSION_ID));
        }
    }

    #[pollster::test]
    async fn a_session_that_is_over_does_not_go_on() {
        for over in [
            Session { ended_at: Some(NOW.minus(SECOND)), ..session() },
            Session { idle_expires_at: NOW, ..session() },
            Session { expires_at: NOW, idle_expires_at: NOW.plus(DAY), ..session() },
        ] {
            let mut unit = holding(Some(over));
            records(Some(EventReason::SessionEnded), &mut unit);
            let setup = setup();
            let written = setup.store.plan_write(unit);

            let outcome = setup.auth().refresh(request(), &client()).await;

            assert!(is_invalid(&outcome), "{outcome:?}");
            assert!(written.yes());
        }
    }

    #[pollster::test]
    async fn a_session_that_has_been_forgotten_does_not_go_on() {
        let mut unit = holding(None);
        let subject = (None, Some(SESSION_ID));
        expect_event(&mut unit, EventKind::Refresh, Some(EventReason::UnknownToken), subject);
        let setup = setup();
        let written = setup.store.plan_write(unit);

        let outcome = setup.auth().refresh(request(), &client()).await;

        assert!(is_invalid(&outcome), "{outcome:?}");
        assert!(written.yes());
    }

    #[pollster::test]
    async fn a_disabled_or_deleted_user_does_not_go_on() {
        for (found, reason) in
            [(Some(disabled_user()), EventReason::AccountDisabled), (None, EventReason::UnknownAccount)]
        {
            let mut unit = holding_live(found);
            records(Some(reason), &mut unit);
            let setup = setup();
            let written = setup.store.plan_write(unit);

            let outcome = setup.auth().refresh(request(), &client()).await;

            assert!(is_invalid(&outcome), "{outcome:?}");
            assert!(written.yes());
        }
    }

    #[pollster::test]
    async fn a_collision_repeats_the_whole_unit() {
        let unit = || {
            let mut unit = used_before(Some(record(&first(), Some(NOW))), Some(record(&successor(), None)));
            records(None, &mut unit);
            unit
        };
        let setup = setup();
        setup.store.plan_collision(unit());
        let written = setup.store.plan_write(unit());

        let grant = setup.auth().refresh(request(), &client()).await.unwrap();

        assert!(written.yes());
        assert_eq!(grant.refresh_token.hash(), successor().hash());
    }

    #[pollster::test]
    async fn a_replay_is_told_to_the_user_in_the_unit_that_ends_the_session() {
        let mails = Seen::<Mail>::default();
        let mut unit = used_before(None, None);
        let end = unit.sessions.expect_end().times(1);
        let end = end.withf(|id, reason, now| (*id, *reason, *now) == (SESSION_ID, EndReason::Replayed, NOW));
        end.returning(|_, _, _| Ok(true));
        unit.outbox.expect_take_allowance().times(1).returning(|_, _, _, _| Ok(true));
        queueing(&mut unit, &mails);
        records(Some(EventReason::Replay), &mut unit);
        let setup = setup();
        let written = setup.store.plan_write(unit);

        let outcome = setup.auth().refresh(request(), &client()).await;

        assert!(is_invalid(&outcome), "{outcome:?}");
        assert!(written.yes());
        let mail = mails.only();
        assert_eq!((mail.kind, mail.to, mail.user_id), (MailKind::RefreshReplayed, email(), Some(USER_ID)));
    }

    #[pollster::test]
    async fn what_is_no_replay_is_told_to_nobody() {
        let forged = RefreshTokenRecord { hash: RefreshTokenHash::from_bytes([7; 32]), ..record(&first(), None) };
        for (presented, reason) in [(None, None), (Some(forged), Some(EventReason::UnknownToken))] {
            let mut unit = used_before(presented, Some(record(&successor(), None)));
            unit.outbox.expect_take_allowance().returning(|_, _, _, _| panic!("a mail was to be queued"));
            records(reason, &mut unit);
            let setup = setup();
            let written = setup.store.plan_write(unit);

            let outcome = setup.auth().refresh(request(), &client()).await;

            assert_eq!(outcome.is_ok(), reason.is_none(), "{outcome:?}");
            assert!(written.yes());
        }
    }
}
