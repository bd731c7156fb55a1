use doorward_domain::{Client, EndReason, EventKind, Password};

use crate::unit::retrying;
use crate::{Auth, CurrentUser, ReauthenticationError, Unauthenticated};

/// A wish to have no account any more.
#[derive(Clone, Debug)]
pub struct DeleteAccount {
    /// The password of the account.
    pub password: Password,
}

impl Auth {
    /// Deletes a user with everything that is theirs.
    ///
    /// The security log keeps its entries. They name the user by an id that leads to nobody from now on.
    ///
    /// # Errors
    ///
    /// [`ReauthenticationError`]; nothing was deleted then.
    pub async fn delete_account(
        &self,
        current: &CurrentUser,
        request: DeleteAccount,
        client: &Client,
    ) -> Result<(), ReauthenticationError> {
        let act = EventKind::AccountDeletion;
        let (user, checked) = self.reauthenticate(current, &request.password, act, client).await?;
        let now = self.now();
        let deleted = retrying(|| async {
            let mut unit = self.store().write().await?;
            let unchanged = unit.credentials().hold(user.id, checked.version).await?;
            let Some(user) = unchanged.filter(|user| !user.disabled()) else { return Ok(false) };
            let ended = unit.sessions().end_all(user.id, None, EndReason::LoggedOutEverywhere, now).await?;
            unit.outbox().erase(user.id, &user.email).await?;
            unit.users().delete(user.id, now).await?;
            let subject = (Some(user.id), Some(current.session_id()));
            unit.events().append(&self.event(act, None, subject, client)?).await?;
            self.note_all_ended(&ended, now);
            unit.commit().await?;
            Ok(true)
        })
        .await?;
        if deleted { Ok(()) } else { Err(Unauthenticated.into()) }
    }
}
