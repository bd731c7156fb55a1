use uuid::Uuid;

use crate::{Clock, Entropy, EntropyUnavailable};

/// A UUIDv7 (RFC 9562 section 5.7): ordered by time for the index, with 74 random bits so that it cannot be
/// guessed from another. [`id!`](crate::id) makes types of such ids.
///
/// # Errors
///
/// [`EntropyUnavailable`] when the source of randomness gives nothing.
pub fn new_v7(clock: &dyn Clock, entropy: &dyn Entropy) -> Result<Uuid, EntropyUnavailable> {
    let mut random = [0; 10];
    entropy.fill(&mut random)?;
    Ok(uuid::Builder::from_unix_timestamp_millis(clock.now().unix_millis(), &random).into_uuid())
}

/// Makes a type of ids, each a UUIDv7: for whatever an embedding service keeps, as for Doorward's own.
///
/// ```
/// doorward_domain::id!(
///     /// Names a note.
///     NoteId
/// );
///
/// assert_eq!(NoteId::from_uuid(uuid::Uuid::nil()).to_string(), "00000000-0000-0000-0000-000000000000");
/// ```
#[macro_export]
macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(::uuid::Uuid);

        impl $name {
            /// A fresh id, a UUIDv7 of the present moment.
            ///
            /// # Errors
            ///
            /// [`EntropyUnavailable`]($crate::EntropyUnavailable) when the source of randomness gives nothing.
            pub fn new(
                clock: &dyn $crate::Clock,
                entropy: &dyn $crate::Entropy,
            ) -> ::core::result::Result<Self, $crate::EntropyUnavailable> {
                $crate::new_v7(clock, entropy).map(Self)
            }

            /// The id that a database or a token names.
            #[must_use]
            pub const fn from_uuid(uuid: ::uuid::Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID behind the id.
            #[must_use]
            pub const fn uuid(self) -> ::uuid::Uuid {
                self.0
            }
        }

        impl ::core::fmt::Display for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
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
    /// Names a webhook through all attempts to deliver it.
    WebhookId
);
id!(
    /// Names one setting of a password. It changes whenever the user sets another password and stays when the
    /// same password is only hashed anew.
    CredentialVersion
);
