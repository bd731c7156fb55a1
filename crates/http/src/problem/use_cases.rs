//! What the error of a use case becomes: one place for all of them.

use doorward_auth::{
    Challenge, ChangePasswordError, EndSessionError, LoginError, LogoutAllError, LogoutError, OneTimeTokenError,
    ProfileError, ProofError, ReauthenticationError, RefreshError, RegisterError, ResetPasswordError,
};
use doorward_domain::{InvalidEmail, InvalidName, PasswordRefused};

use super::{FieldError, Kind, Problem};

impl From<LoginError> for Problem {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::InvalidCredentials => Kind::InvalidCredentials.into(),
            LoginError::EmailNotVerified => Kind::EmailNotVerified.into(),
            LoginError::AccountDisabled => Kind::AccountDisabled.into(),
            LoginError::ProofRequired(challenge) => proof_required(&challenge),
            LoginError::Fault(fault) => fault.into(),
        }
    }
}

impl From<RegisterError> for Problem {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::PasswordRefused(refused) => Self::validation(vec![password_error("password", refused)]),
            RegisterError::EmailTaken => Kind::EmailTaken.into(),
            RegisterError::Closed => Self::from(Kind::Forbidden).with_detail("Registration is closed"),
            RegisterError::ProofRequired(challenge) => proof_required(&challenge),
            RegisterError::Fault(fault) => fault.into(),
        }
    }
}

impl From<ProofError> for Problem {
    fn from(error: ProofError) -> Self {
        match error {
            ProofError::Required(challenge) => proof_required(&challenge),
            ProofError::Fault(fault) => fault.into(),
        }
    }
}

impl From<RefreshError> for Problem {
    fn from(error: RefreshError) -> Self {
        match error {
            RefreshError::InvalidRefreshToken => Kind::InvalidRefreshToken.into(),
            RefreshError::Fault(fault) => fault.into(),
        }
    }
}

impl From<LogoutError> for Problem {
    fn from(error: LogoutError) -> Self {
        match error {
            LogoutError::Unauthenticated(error) => error.into(),
            LogoutError::Fault(fault) => fault.into(),
        }
    }
}

impl From<LogoutAllError> for Problem {
    fn from(error: LogoutAllError) -> Self {
        match error {
            LogoutAllError::Fault(fault) => fault.into(),
        }
    }
}

impl From<ProfileError> for Problem {
    fn from(error: ProfileError) -> Self {
        match error {
            ProfileError::Unauthenticated(error) => error.into(),
            ProfileError::Fault(fault) => fault.into(),
        }
    }
}

impl From<OneTimeTokenError> for Problem {
    fn from(error: OneTimeTokenError) -> Self {
        match error {
            OneTimeTokenError::InvalidToken => Kind::InvalidToken.into(),
            OneTimeTokenError::Fault(fault) => fault.into(),
        }
    }
}

impl From<ResetPasswordError> for Problem {
    fn from(error: ResetPasswordError) -> Self {
        match error {
            ResetPasswordError::InvalidToken => Kind::InvalidToken.into(),
            ResetPasswordError::PasswordRefused(refused) => Self::validation(vec![password_error("password", refused)]),
            ResetPasswordError::Fault(fault) => fault.into(),
        }
    }
}

impl From<ReauthenticationError> for Problem {
    fn from(error: ReauthenticationError) -> Self {
        match error {
            ReauthenticationError::InvalidCredentials => Kind::InvalidCredentials.into(),
            ReauthenticationError::Unauthenticated(error) => error.into(),
            ReauthenticationError::Fault(fault) => fault.into(),
        }
    }
}

impl From<ChangePasswordError> for Problem {
    fn from(error: ChangePasswordError) -> Self {
        match error {
            ChangePasswordError::Reauthentication(error) => error.into(),
            ChangePasswordError::PasswordRefused(refused) => {
                Self::validation(vec![password_error("new_password", refused)])
            }
        }
    }
}

impl From<EndSessionError> for Problem {
    fn from(error: EndSessionError) -> Self {
        match error {
            EndSessionError::NotFound => Kind::NotFound.into(),
            EndSessionError::Fault(fault) => fault.into(),
        }
    }
}

/// What to solve stands in members of the problem, so that a client can solve it and ask again.
fn proof_required(challenge: &Challenge) -> Problem {
    Problem::from(Kind::ProofRequired)
        .with_detail("Solve the challenge and send the solution as Doorward-Proof")
        .with_member("challenge", challenge.text())
        .with_member("difficulty", challenge.difficulty().bits())
}

/// A password's refusal as a field error.
pub(crate) fn password_error(field: &str, refused: PasswordRefused) -> FieldError {
    let code = match refused {
        PasswordRefused::TooShort { .. } => "too_short",
        PasswordRefused::TooLong => "too_long",
        PasswordRefused::TooCommon => "too_common",
        PasswordRefused::ContainsContext => "contains_context",
    };
    FieldError::new(field, code, refused.to_string())
}

/// An address's refusal as a field error.
pub(crate) fn email_error(field: &str, refused: InvalidEmail) -> FieldError {
    FieldError::new(field, "invalid_email", refused.to_string())
}

/// A name's refusal as a field error.
pub(crate) fn name_error(field: &str, refused: InvalidName) -> FieldError {
    let code = match refused {
        InvalidName::Blank => "too_short",
        InvalidName::TooLong => "too_long",
        InvalidName::ControlCharacter => "invalid_character",
    };
    FieldError::new(field, code, refused.to_string())
}
