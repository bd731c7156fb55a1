use doorward_domain::store::{Allowance, MockUnit};
use doorward_domain::{EndReason, Mail, OneTimePurpose, PasswordCredential, SessionId};

use super::{NOW, Seen, USER_ID, email, queueing};
use crate::password::{MockPasswordScreen, ScreenUnavailable};

/// Expects the user of the tests to get a new password and everything that belongs to it: the mailed tokens revoked
/// but for an offer to undo a change of address, mails that carry one cancelled, the sessions ended, and a notice
/// sent. What is written can be looked at.
pub(crate) fn expect_new_password(
    unit: &mut MockUnit,
    (end_reason, kept): (EndReason, Option<SessionId>),
    ended: Vec<SessionId>,
    credentials: &Seen<PasswordCredential>,
    mails: &Seen<Mail>,
) {
    let seen = credentials.clone();
    unit.credentials.expect_set().times(1).returning(move |credential| {
        seen.note(credential.clone());
        Ok(())
    });
    let revoke = unit.one_time_tokens.expect_revoke_all().times(1);
    let spared = Some(OneTimePurpose::UndoEmailChange);
    let revoke = revoke.withf(move |id, except, now| (*id, *except, *now) == (USER_ID, spared, NOW));
    revoke.returning(|_, _, _| Ok(()));
    let cancel = unit.outbox.expect_cancel().times(1);
    cancel.withf(|id, address| *id == USER_ID && *address == email()).returning(|_, _| Ok(()));
    let end = unit.sessions.expect_end_all().times(1);
    let end =
        end.withf(move |id, except, reason, now| (*id, *except, *reason, *now) == (USER_ID, kept, end_reason, NOW));
    end.returning(move |_, _, _, _| Ok(ended.clone()));
    let allow = unit.outbox.expect_take_allowance().times(1);
    let allow = allow.withf(|address, allowance, _, _| *address == email() && *allowance == Allowance::Requested);
    allow.returning(|_, _, _, _| Ok(true));
    queueing(unit, mails);
}

/// A screen that cannot tell of any password whether it is common.
pub(crate) fn screen_that_is_down() -> MockPasswordScreen {
    let mut screen = MockPasswordScreen::new();
    screen.expect_is_common().times(1).returning(|_| Err(ScreenUnavailable("down".into())));
    screen
}
