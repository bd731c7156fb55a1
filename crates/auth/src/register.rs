use doorward_domain::{
    Client, CredentialVersion, DisplayName, EmailAddress, EventKind, EventReason, Password, PasswordCredential,
    PasswordRefused, User, UserId,
};
use thiserror::Error;

use crate::unit::retrying;
use crate::{Auth, Fault, SessionGrant};

/// A wish to have an account.
#[derive(Clone, Debug)]
pub struct Register {
    /// The address, which is the name of the account.
    pub email: EmailAddress,
    /// The password to set.
    pub password: Password,
    /// What the user wishes to be called.
    pub name: Option<DisplayName>,
}

/// Who may register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RegistrationMode {
    /// Everybody, and the account can log in once its address is verified. Says nothing of who has an account.
    /// The default.
    #[default]
    Verified,
    /// Everybody, and a session begins at once. Says of an address whether it has an account.
    Open,
    /// Nobody.
    Closed,
}

/// What came of it.
#[derive(Clone, Debug)]
pub enum Registration {
    /// The account exists and a session has begun.
    SessionStarted(Box<SessionGrant>),
    /// The owner of the address has to prove that it is theirs. The same whether or not there was an account.
    VerificationPending,
}

/// Why nobody was registered.
#[derive(Debug, Error)]
pub enum RegisterError {
    /// The password cannot be set.
    #[error(transparent)]
    PasswordRefused(#[from] PasswordRefused),
    /// The address has an account. Only said in [`RegistrationMode::Open`].
    #[error("the address has an account already")]
    EmailTaken,
    /// Nobody can register.
    #[error("registration is closed")]
    Closed,
    /// Nobody's mistake.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Auth {
    /// Registers a user, and logs them in where no verified address is needed.
    ///
    /// User, password, session and security event are written in one unit. The password is hashed before it
    /// begins, for a known address as well, so that neither time nor answer tells the two apart.
    ///
    /// # Errors
    ///
    /// [`RegisterError`]; nothing but a security event was written then.
    pub async fn register(&self, request: Register, client: &Client) -> Result<Registration, RegisterError> {
        let mode = self.settings().registration;
        if mode == RegistrationMode::Closed {
            self.record(EventKind::Register, EventReason::RegistrationClosed, None, client).await?;
            return Err(RegisterError::Closed);
        }
        self.settings().passwords.check(&request.password, &request.email)?;
        if self.parts().screen.is_common(&request.password) {
            return Err(PasswordRefused::TooCommon.into());
        }
        let hash = self.parts().hasher.hash(&request.password).await.map_err(Fault::from)?;

        let now = self.now();
        let user = User {
            id: self.fresh(UserId::new).map_err(Fault::from)?,
            email: request.email,
            email_verified_at: None,
            name: request.name,
            roles: Vec::new(),
            disabled_at: None,
            created_at: now,
            updated_at: now,
        };
        let version = self.fresh(CredentialVersion::new).map_err(Fault::from)?;
        let credential = PasswordCredential { user_id: user.id, version, hash };
        let opened = match mode {
            RegistrationMode::Open => {
                Some(self.new_session(user.id, credential.version, client, now).map_err(Fault::from)?)
            }
            RegistrationMode::Verified | RegistrationMode::Closed => None,
        };

        let added = retrying(|| async {
            let mut unit = self.store().write().await?;
            let added = unit.users().insert_new(&user).await?;
            let session_id = opened.as_ref().map(|(session, _)| session.id);
            let event = if added {
                unit.credentials().insert(&credential).await?;
                if let Some((session, refresh_token)) = &opened {
                    unit.sessions().insert(session, &refresh_token.hash()).await?;
                }
                self.event(EventKind::Register, None, (Some(user.id), session_id), client)?
            } else {
                self.event(EventKind::Register, Some(EventReason::AddressTaken), (None, None), client)?
            };
            unit.events().append(&event).await?;
            unit.commit().await?;
            Ok(added)
        })
        .await?;

        match opened {
            None => Ok(Registration::VerificationPending),
            Some(_) if !added => Err(RegisterError::EmailTaken),
            Some((session, refresh_token)) => {
                let grant = self.grant(&session, user, refresh_token, now)?;
                Ok(Registration::SessionStarted(Box::new(grant)))
            }
        }
    }
}
