//! How the values of the domain are read out of the fields of bodies and forms, and the fields that several have in common.

use doorward_domain::{DisplayName, EmailAddress, Password};
use secrecy::SecretString;

use crate::body::{Fields, FromFields};
use crate::problem::{email_error, name_error, password_error};

/// The mail address in the field `email`.
pub(crate) fn email(fields: &mut Fields) -> Option<EmailAddress> {
    let text = fields.text("email")?;
    fields.noting(EmailAddress::parse(&text).map_err(|refused| email_error("email", refused)))
}

/// The password in the field of this name.
pub(crate) fn password(fields: &mut Fields, name: &str) -> Option<Password> {
    let text = fields.secret(name)?;
    fields.noting(Password::parse(&text).map_err(|refused| password_error(name, refused)))
}

/// The name, where the field is there at all; `null` is no name.
pub(crate) fn name(fields: &mut Fields) -> Option<DisplayName> {
    let text = fields.optional_text("name")?;
    fields.noting(DisplayName::parse(&text).map_err(|refused| name_error("name", refused)))
}

/// What an earlier log-in from this device was given to be known again, where the field is there. The cookie of a browser
/// says the same.
pub(crate) fn device(fields: &mut Fields) -> Option<SecretString> {
    fields.optional_text("device_token").map(SecretString::from)
}

/// A mail address and nothing else.
pub(crate) struct Address(pub(crate) EmailAddress);

impl FromFields for Address {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self(email(fields)?))
    }
}

/// The token of a mailed link and nothing else.
pub(crate) struct MailedToken(pub(crate) SecretString);

impl FromFields for MailedToken {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self(fields.secret("token")?))
    }
}
