use crate::names::names;
use crate::{Client, EventId, SessionId, Timestamp, UserId};

/// An entry of the security log (ASVS 16.3): who did what, when, from where, and whether it was allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityEvent {
    /// Names the entry.
    pub id: EventId,
    /// When it happened.
    pub at: Timestamp,
    /// What was done or tried.
    pub kind: EventKind,
    /// Why it was refused; `None` for a success.
    pub reason: Option<EventReason>,
    /// Whose account it concerns, where one is known.
    pub user_id: Option<UserId>,
    /// Which session it concerns, where there is one.
    pub session_id: Option<SessionId>,
    /// Where it came from.
    pub client: Client,
    /// How many times it happened: 1, but for refusals that came in such numbers that they were only counted. Those say
    /// nothing of users, sessions and clients.
    pub count: u32,
}

names! {
    /// What was done or tried.
    EventKind {
        /// An account was registered.
        Register = "register",
        /// Somebody logged in.
        Login = "login",
        /// A refresh token was exchanged.
        Refresh = "refresh",
        /// A session was ended by its user.
        Logout = "logout",
        /// All sessions of a user were ended by the user.
        LogoutAll = "logout_all",
        /// A session was ended by its user from another one.
        SessionEnd = "session_end",
        /// Somebody asked for something that a user owns.
        ResourceAccess = "resource_access",
        /// A request was refused before it came to anything, or failed.
        Request = "request",
        /// A user changed their own profile.
        ProfileChange = "profile_change",
        /// A mail to verify an address was asked for.
        VerifyEmailRequest = "verify_email_request",
        /// An address was verified.
        VerifyEmail = "verify_email",
        /// A mail to reset a password was asked for.
        PasswordResetRequest = "password_reset_request",
        /// A password was reset by a mailed link.
        PasswordReset = "password_reset",
        /// A user changed their own password.
        PasswordChange = "password_change",
        /// A user asked for another address.
        EmailChangeRequest = "email_change_request",
        /// A new address took the place of an old one.
        EmailChange = "email_change",
        /// A change of addresses was undone.
        EmailChangeUndo = "email_change_undo",
        /// A user deleted their own account.
        AccountDeletion = "account_deletion",
        /// An operator disabled an account.
        UserDisable = "user_disable",
        /// An operator enabled an account.
        UserEnable = "user_enable",
        /// An operator gave a user other roles.
        RolesChange = "roles_change",
        /// An operator had a mail sent again.
        MailRetry = "mail_retry",
        /// An operator threw a mail away.
        MailDrop = "mail_drop",
        /// A signing key was made.
        KeyRotate = "key_rotate",
        /// A signing key was revoked.
        KeyRevoke = "key_revoke",
        /// Secrets were sealed with another master key.
        KeyReseal = "key_reseal",
    }
}

names! {
    /// Why something was refused. For the log alone: the answer to the client says less.
    EventReason {
        /// There is no account with this address.
        UnknownAccount = "unknown_account",
        /// The password was wrong.
        WrongPassword = "wrong_password",
        /// The stored hash of the password cannot be read, for one because it was imported from elsewhere.
        UnreadableHash = "unreadable_hash",
        /// The password was right and the address has not been verified.
        EmailNotVerified = "email_not_verified",
        /// The password was right and the account is disabled.
        AccountDisabled = "account_disabled",
        /// The account or its password changed while the password was being checked.
        CredentialChanged = "credential_changed",
        /// There is an account with this address already.
        AddressTaken = "address_taken",
        /// Registration is closed.
        RegistrationClosed = "registration_closed",
        /// The token was not issued here, or its session has been forgotten.
        UnknownToken = "unknown_token",
        /// The session has ended or expired.
        SessionEnded = "session_ended",
        /// The user has no such session.
        UnknownSession = "unknown_session",
        /// It was asked for in another user's name.
        OtherOwner = "other_owner",
        /// The user owns no such thing; somebody else may.
        UnknownResource = "unknown_resource",
        /// The token had been replaced long ago; the session was ended because of it.
        Replay = "replay",
        /// The one-time token is unknown, used, expired, superseded or of another purpose.
        InvalidToken = "invalid_token",
        /// The address has had as many mails within the hour as it may.
        MailLimit = "mail_limit",
        /// The account was tried with too many wrong passwords.
        GuessLimit = "guess_limit",
        /// The client did the same too often.
        ClientLimit = "client_limit",
        /// The session was refreshed too often.
        SessionLimit = "session_limit",
        /// A page of another origin sent it.
        OtherOrigin = "other_origin",
        /// The user does not have the role that it takes.
        MissingRole = "missing_role",
        /// The client had gone, or the time was over, before there was an answer.
        Abandoned = "abandoned",
        /// Something went wrong that nobody foresaw.
        UnexpectedError = "unexpected_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back() {
        assert_eq!(EventKind::from_name(EventKind::LogoutAll.as_str()), Some(EventKind::LogoutAll));
        assert_eq!(EventReason::from_name("replay"), Some(EventReason::Replay));
        assert_eq!(EventReason::from_name("Replay"), None);
    }
}
