use doorward_domain::store::MockUnit;
use doorward_domain::{EmailAddress, MailId, OneTimePurpose, OneTimeToken, User};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use super::{CountingEntropy, NOW, USER_ID, one_time_tokens};
use crate::{OneTimeTokens, RootSecret};

const MAIL: MailId = MailId::from_uuid(Uuid::from_u128(7));

/// A token that was mailed to the user of the tests.
pub(crate) struct MailedToken {
    purpose: OneTimePurpose,
    address: EmailAddress,
}

impl MailedToken {
    /// One that was sent to this address.
    pub(crate) fn new(purpose: OneTimePurpose, address: &str) -> Self {
        Self { purpose, address: EmailAddress::parse(address).unwrap() }
    }

    pub(crate) fn text(&self) -> SecretString {
        one_time_tokens().text(MAIL, self.purpose)
    }

    /// Texts that are no token of this purpose: of none, of another installation, of another purpose, and short of a
    /// letter.
    pub(crate) fn forgeries(&self, other_purpose: OneTimePurpose) -> Vec<SecretString> {
        let other_key = RootSecret::generate(&CountingEntropy::starting_at(9_000)).unwrap();
        let foreign = OneTimeTokens::new(&other_key).text(MAIL, self.purpose);
        let other_purpose = one_time_tokens().text(MAIL, other_purpose);
        let beheaded = self.text().expose_secret()[1..].to_owned();
        let texts = ["", "dwo_", "not a token"].map(str::to_owned).into_iter().chain([beheaded]);
        texts.map(SecretString::from).chain([foreign, other_purpose]).collect()
    }

    /// What the database knows of it.
    pub(crate) fn row(&self) -> OneTimeToken {
        OneTimeToken {
            mail_id: MAIL,
            user_id: USER_ID,
            purpose: self.purpose,
            hash: one_time_tokens().hash(MAIL, self.purpose),
            address: self.address.clone(),
            expires_at: NOW.plus(self.purpose.lifetime()),
        }
    }

    /// A unit that looks for the token, and finds it or not.
    pub(crate) fn looking(&self, found: bool) -> MockUnit {
        let mut unit = MockUnit::default();
        let row = self.row();
        let answer = found.then(|| row.clone());
        let find = unit.one_time_tokens.expect_find().times(1);
        let find = find.withf(move |purpose, hash, now| (*purpose, *hash, *now) == (row.purpose, row.hash, NOW));
        find.returning(move |_, _, _| Ok(answer.clone()));
        unit
    }

    /// A unit that uses the token up, provided that it is there.
    pub(crate) fn consuming(&self, found: bool) -> MockUnit {
        let mut unit = MockUnit::default();
        let row = self.row();
        let answer = found.then(|| row.clone());
        let consume = unit.one_time_tokens.expect_consume().times(1);
        let consume = consume.withf(move |purpose, hash, now| (*purpose, *hash, *now) == (row.purpose, row.hash, NOW));
        consume.returning(move |_, _, _| Ok(answer.clone()));
        unit
    }

    /// A unit that uses the token up and holds its user.
    pub(crate) fn holding(&self, held: Option<User>) -> MockUnit {
        let mut unit = self.consuming(true);
        let hold = unit.users.expect_hold().times(1);
        hold.withf(|id| *id == USER_ID).returning(move |_| Ok(held.clone()));
        unit
    }
}
