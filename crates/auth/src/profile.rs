use doorward_domain::{Client, DisplayName, EventKind, EventReason, User};
use thiserror::Error;

use crate::unit::retrying;
use crate::{Auth, CurrentUser, Fault, Unauthenticated};

/// A wish to be called something else, or nothing.
#[derive(Clone, Debug)]
pub struct Rename {
    /// The new name; `None` takes the old one away.
    pub name: Option<DisplayName>,
}

/// Why one's own profile could not be read or changed.
#[derive(Debug, Error)]
pub enum ProfileError {
    /// The account is gone or disabled since the token was issued.
    #[error(transparent)]
    Unauthenticated(#[from] Unauthenticated),
    /// Nobody's mistake.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Auth {
    /// The user as they are now, not as their token remembers them.
    ///
    /// # Errors
    ///
    /// [`ProfileError::Unauthenticated`] when the account is gone or disabled.
    pub async fn me(&self, user: &CurrentUser) -> Result<User, ProfileError> {
        let found = self.find_user(user).await?;
        Ok(found.filter(|user| !user.disabled()).ok_or(Unauthenticated)?)
    }

    /// Sets or clears the user's own name.
    ///
    /// # Errors
    ///
    /// [`ProfileError::Unauthenticated`] when the account is gone or disabled; its name did not change then.
    pub async fn rename(&self, user: &CurrentUser, request: Rename, client: &Client) -> Result<User, ProfileError> {
        let now = self.now();
        let renamed = retrying(|| async {
            let mut unit = self.store().write().await?;
            let held = unit.users().hold(user.id()).await?;
            let renamed = match held.filter(|user| !user.disabled()) {
                Some(user) => unit.users().rename(user.id, request.name.clone(), now).await?,
                None => None,
            };
            let reason = renamed.is_none().then_some(EventReason::AccountDisabled);
            let subject = (Some(user.id()), Some(user.session_id()));
            let event = self.event(EventKind::ProfileChange, reason, subject, client)?;
            unit.events().append(&event).await?;
            unit.commit().await?;
            Ok(renamed)
        })
        .await?;
        Ok(renamed.ok_or(Unauthenticated)?)
    }

    async fn find_user(&self, user: &CurrentUser) -> Result<Option<User>, Fault> {
        Ok(self.store().read().await?.users().find(user.id()).await?)
    }
}
