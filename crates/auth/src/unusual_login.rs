use doorward_domain::store::{DeviceSeen, WriteUnit};
use doorward_domain::{Client, MailKind, Timestamp, User, UserAgent, UserId};
use sha2::{Digest, Sha256};

use crate::{Auth, Fault};

/// How many wrong passwords in a row are worth a notice when the right one follows.
const NOTED_FAILURES: u32 = 5;

impl Auth {
    /// Tells the user of a log-in that they may not have made: after many wrong passwords, or from a device that is
    /// new to them.
    pub(crate) async fn notice_unusual(
        &self,
        unit: &mut dyn WriteUnit,
        user: &User,
        client: &Client,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let failures = unit.credentials().take_failures(user.id).await?;
        let device = unit.sessions().note_device(user.id, device_digest(user.id, client), now).await?;
        let kind = match device {
            _ if failures >= NOTED_FAILURES => MailKind::LoginAfterFailures,
            DeviceSeen::New => MailKind::NewDevice,
            DeviceSeen::First | DeviceSeen::Known => return Ok(()),
        };
        self.queue_notice(unit, kind, user, client).await
    }
}
/// What tells a user's devices apart: what the client says it is, without the numbers, since versions change all
/// the time.
pub(crate) fn device_digest(user_id: UserId, client: &Client) -> [u8; 32] {
    let agent = client.user_agent.as_ref().map_or("", UserAgent::as_str);
    let unnumbered: String = agent.chars().filter(|c| !c.is_ascii_digit()).collect();
    let mut digest = Sha256::new();
    digest.update(user_id.uuid().as_bytes());
    digest.update(unnumbered.as_bytes());
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{USER_ID, client};

    #[test]
    fn a_device_is_told_by_its_user_and_by_what_it_says_it_is_without_the_numbers() {
        let digest = |user_id, agent: &str| {
            device_digest(user_id, &Client { user_agent: Some(UserAgent::sanitized(agent)), ..client() })
        };
        let other_user = UserId::from_uuid(uuid::Uuid::from_u128(9));
        let firefox = digest(USER_ID, "Firefox/140.0 (X11; Linux)");
        assert_eq!(digest(USER_ID, "Firefox/141.0 (X11; Linux)"), firefox);
        assert_ne!(digest(USER_ID, "Firefox/140.0 (Windows)"), firefox);
        assert_ne!(digest(other_user, "Firefox/140.0 (X11; Linux)"), firefox);
        let elsewhere = Client { ip: None, request_id: None, locale: None, ..client() };
        assert_eq!(device_digest(USER_ID, &elsewhere), device_digest(USER_ID, &client()));
    }
}
