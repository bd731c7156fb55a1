use doorward_domain::{
    Client, EmailAddress, EventKind, EventReason, Password, PasswordCredential, PasswordHashString, User, UserId,
};
use secrecy::SecretString;
use thiserror::Error;

use crate::password::Verification;
use crate::throttle::{Attempt, Guess};
use crate::unit::retrying;
use crate::{
    Auth, Challenge, DeviceToken, DeviceTokens, Fault, Proof, ProofError, ProofPurpose, ProofRules, RegistrationMode,
    SessionGrant,
};

/// A claim to be somebody.
#[derive(Clone, Debug)]
pub struct Login {
    /// The address of the account.
    pub email: EmailAddress,
    /// Its password.
    pub password: Password,
    /// What an earlier log-in from this device was given to be known again.
    pub device: Option<SecretString>,
    /// The proof of work, where one is asked for.
    pub proof: Option<Proof>,
}

/// Why nobody was logged in.
#[derive(Debug, Error)]
pub enum LoginError {
    /// A wrong password or no such account; which of the two is not said (ASVS 6.3.8).
    #[error("the address or the password is wrong")]
    InvalidCredentials,
    /// The password is right, and the address has to be verified first.
    #[error("the address has not been verified")]
    EmailNotVerified,
    /// The password is right, and the account is disabled.
    #[error("the account is disabled")]
    AccountDisabled,
    /// A proof of work is asked for, and there was none that is good. No password was looked at.
    #[error("a proof of work is needed")]
    ProofRequired(Challenge),
    /// Nobody's mistake.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<ProofError> for LoginError {
    fn from(error: ProofError) -> Self {
        match error {
            ProofError::Required(challenge) => Self::ProofRequired(challenge),
            ProofError::Fault(fault) => Self::Fault(fault),
        }
    }
}

impl Auth {
    /// Logs a user in: begins a session and grants its first tokens.
    ///
    /// An unknown account costs the same statements and the same hash as a wrong password. Each attempt is counted before
    /// the password is looked at; from a device that the user has logged in from, by a count of its own, so that strangers
    /// cannot lock a user out there. The session is only begun when the account and its password are still what they were
    /// when the password was checked.
    ///
    /// # Errors
    ///
    /// [`LoginError`]. A refusal is in the security log by then.
    pub async fn login(&self, request: Login, client: &Client) -> Result<SessionGrant, LoginError> {
        let device = request.device.as_ref().and_then(|text| self.parts().device_tokens.recognise(text));
        let (account, trusted) = self.find_account(&request.email, device.as_ref()).await?;
        let user_id = account.as_ref().map(|(user, _)| user.id);
        let guess = match (user_id, &device) {
            (Some(user_id), Some(device)) if trusted => Guess::Device(user_id, device),
            _ => Guess::Address(&request.email),
        };
        if self.has_failed_often(guess).await? {
            self.demand_proof(ProofPurpose::Login, request.proof.as_ref()).await?;
        }
        let attempt = self.begin_attempt(EventKind::Login, guess, user_id, client).await?;
        let hash = account.as_ref().map(|(_, credential)| &credential.hash);
        let verification = self.verify_attempt(&request.password, hash, &attempt).await?;

        let (user, credential, upgraded) = match (account, verification) {
            (None, _) => return self.refuse(EventReason::UnknownAccount, None, client).await,
            (Some((user, _)), None) => {
                return self.refuse(EventReason::UnreadableHash, Some(user.id), client).await;
            }
            (Some((user, _)), Some(Verification::Wrong)) => {
                return self.refuse(EventReason::WrongPassword, Some(user.id), client).await;
            }
            (Some((user, credential)), Some(Verification::Right { upgraded })) => (user, credential, upgraded),
        };
        if user.disabled() {
            self.end_attempt(&attempt).await?;
            return self.refuse(EventReason::AccountDisabled, Some(user.id), client).await;
        }
        if self.settings().registration == RegistrationMode::Verified && !user.email_verified() {
            self.end_attempt(&attempt).await?;
            return self.refuse(EventReason::EmailNotVerified, Some(user.id), client).await;
        }
        let device = self.device_or_new(device)?;
        match self.begin_session(&credential, upgraded.as_ref(), &attempt, &device, client).await? {
            Some(grant) => Ok(grant),
            None => self.refuse(EventReason::CredentialChanged, Some(user.id), client).await,
        }
    }

    /// The account, and whether its user has logged in from the device before; as many statements whether or not there
    /// is one.
    async fn find_account(
        &self,
        email: &EmailAddress,
        device: Option<&DeviceToken>,
    ) -> Result<(Option<(User, PasswordCredential)>, bool), Fault> {
        const NOBODY: UserId = UserId::from_uuid(uuid::Uuid::nil());
        let mut unit = self.store().read().await?;
        let account = unit.credentials().find_by_address(email).await?;
        let Some(device) = device else { return Ok((account, false)) };
        let user_id = account.as_ref().map_or(NOBODY, |(user, _)| user.id);
        let trusted = unit.sessions().trusts_device(user_id, device.digest()).await?;
        Ok((account, trusted))
    }

    /// Whether so many wrong passwords were tried that a proof of work is asked for.
    async fn has_failed_often(&self, guess: Guess<'_>) -> Result<bool, Fault> {
        if self.settings().proofs.asked(ProofPurpose::Login).is_none() {
            return Ok(false);
        }
        let key = guess.key(&self.parts().throttle_keys);
        Ok(self.store().read().await?.throttles().guesses(&key).await? >= ProofRules::FAILURES)
    }

    /// The token that a device is known by from now on: its own, where it brought one.
    pub(crate) fn device_or_new(&self, device: Option<DeviceToken>) -> Result<DeviceToken, Fault> {
        match device {
            Some(device) => Ok(device),
            None => Ok(DeviceToken::generate(&*self.parts().entropy)?),
        }
    }

    /// Writes session, refresh token, upgraded hash and security event in one unit; `None` when the account or
    /// its password has changed since the password was checked.
    async fn begin_session(
        &self,
        checked: &PasswordCredential,
        upgraded: Option<&PasswordHashString>,
        attempt: &Attempt,
        device: &DeviceToken,
        client: &Client,
    ) -> Result<Option<SessionGrant>, Fault> {
        let now = self.now();
        let (session, refresh_token) = self.new_session(checked.user_id, checked.version, client, now)?;
        let user = retrying(|| async {
            let mut unit = self.store().write().await?;
            let unchanged = unit.credentials().hold(checked.user_id, checked.version).await?;
            let Some(user) = unchanged.filter(|user| !user.disabled()) else { return Ok(None) };
            if let Some(new) = upgraded {
                // When a login at the same moment has upgraded it already, its hash is as good.
                unit.credentials().upgrade_hash(checked.user_id, &checked.hash, new).await?;
            }
            self.settle_attempt(&mut *unit, attempt).await?;
            unit.sessions().insert(&session, &refresh_token.hash()).await?;
            unit.sessions().trust_device(user.id, device.digest(), DeviceTokens::MOST, now).await?;
            let over = unit.sessions().end_oldest(user.id, self.settings().sessions.most_per_user, now).await?;
            self.note_all_ended(&over, now);
            self.notice_unusual(&mut *unit, &user, client, now).await?;
            let event = self.event(EventKind::Login, None, (Some(user.id), Some(session.id)), client)?;
            unit.events().append(&event).await?;
            unit.commit().await?;
            Ok(Some(user))
        })
        .await?;
        let grant = user.map(|user| self.grant(&session, user, refresh_token, now)).transpose()?;
        Ok(grant.map(|grant| SessionGrant { device_token: Some(device.clone()), ..grant }))
    }

    /// Records a refused login and gives the answer that belongs to it.
    async fn refuse(
        &self,
        reason: EventReason,
        user_id: Option<UserId>,
        client: &Client,
    ) -> Result<SessionGrant, LoginError> {
        match reason {
            EventReason::UnknownAccount | EventReason::WrongPassword => {
                self.record_failed_password(EventKind::Login, reason, user_id, client).await?;
            }
            _ => self.record(EventKind::Login, reason, (user_id, None), client).await?,
        }
        Err(match reason {
            EventReason::AccountDisabled => LoginError::AccountDisabled,
            EventReason::EmailNotVerified => LoginError::EmailNotVerified,
            _ => LoginError::InvalidCredentials,
        })
    }
}

#[cfg(test)]
mod tests;
