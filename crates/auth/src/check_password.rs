use doorward_domain::{Client, EventKind, EventReason, Password, PasswordHashString, UserId};

use crate::password::{HashingError, Verification};
use crate::throttle::Attempt;
use crate::unit::retrying;
use crate::{Auth, Fault};

impl Auth {
    /// What checking the password found; `None` when the stored hash cannot be read, which takes as long.
    pub(crate) async fn verify_password(
        &self,
        password: &Password,
        hash: Option<&PasswordHashString>,
    ) -> Result<Option<Verification>, Fault> {
        let hasher = &self.parts().hasher;
        match hasher.verify(password, hash).await {
            Ok(verification) => Ok(Some(verification)),
            Err(HashingError::Unreadable) => {
                hasher.verify(password, None).await?;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The same for an attempt that was counted, and that is given back when the password could not be checked.
    pub(crate) async fn verify_attempt(
        &self,
        password: &Password,
        hash: Option<&PasswordHashString>,
        attempt: &Attempt,
    ) -> Result<Option<Verification>, Fault> {
        match self.verify_password(password, hash).await {
            Err(fault) => {
                self.take_back_attempt(attempt).await?;
                Err(fault)
            }
            checked => checked,
        }
    }

    /// Records a wrong password and counts it, with as many statements where there is no account.
    pub(crate) async fn record_failed_password(
        &self,
        kind: EventKind,
        reason: EventReason,
        user_id: Option<UserId>,
        client: &Client,
    ) -> Result<(), Fault> {
        const NOBODY: UserId = UserId::from_uuid(uuid::Uuid::nil());
        let event = self.event(kind, Some(reason), (user_id, None), client)?;
        let written = self.refusals().is_written(kind, reason, event.at);
        retrying(|| async {
            let mut unit = self.store().write().await?;
            unit.credentials().note_failure(user_id.unwrap_or(NOBODY)).await?;
            if written {
                unit.events().append(&event).await?;
            }
            Ok(unit.commit().await?)
        })
        .await
    }
}
