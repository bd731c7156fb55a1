use std::fmt;

use uuid::Uuid;

use crate::{Clock, Entropy, EntropyUnavailable};

/// A UUIDv7 (RFC 9562 section 5.7): ordered by time for the index, with 74 random bits so that it cannot be
/// guessed from another. For the ids of whatever an embedding service keeps, as for Doorward's own.
///
/// # Errors
///
/// [`EntropyUnavailable`] when the source of randomness gives nothing.
pub fn new_v7(clock: &dyn Clock, entropy: &dyn Entropy) -> Result<Uuid, EntropyUnavailable> {
    let mut random = [0; 10];
    entropy.fill(&mut random)?;
    Ok(uuid::Builder::from_unix_timestamp_millis(clock.now().unix_millis(), &random).into_uuid())
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// A fresh id, a UUIDv7 of the present moment.
            ///
            /// # Errors
            ///
            /// [`EntropyUnavailable`] when the source of randomness gives nothing.
            pub fn new(clock: &dyn Clock, entropy: &dyn Entropy) -> Result<Self, EntropyUnavailable> {
                new_v7(clock, entropy).map(Self)
            }

            /// The id that a database or a token names.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID behind the id.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// Names a user.
    UserId
);
id!(
    /// Names a session; the `sid` of its access tokens. Not a secret: knowing it gives no access.
    SessionId
);
id!(
    /// Names an entry of the security log.
    EventId
);
id!(
    /// Names a mail through all attempts to deliver it, and the token that it carries.
    MailId
);
id!(
    /// Names one setting of a password. It changes whenever the user sets another password and stays when the
    /// same password is only hashed anew.
    CredentialVersion
);
