use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_domain::{MailId, OneTimePurpose, OneTimeTokenHash};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::RootSecret;
use crate::seal::keyed_digest;

const ID_LENGTH: usize = 16;
const SECRET_LENGTH: usize = 32;
const TOKEN_LENGTH: usize = ID_LENGTH + SECRET_LENGTH;

/// Makes and recognises the one-time tokens that are mailed.
///
/// A token is its mail's id and a secret of 256 bits that is derived from that id, the purpose and the root secret.
/// So a mail that waits holds no token, a retry carries the same one, and a forged token, or one of another
/// purpose, is refused without asking the database.
pub struct OneTimeTokens {
    key: Zeroizing<[u8; 32]>,
}

impl OneTimeTokens {
    /// What every one-time token begins with, for secret scanners to look for.
    pub const PREFIX: &'static str = "dwo_";

    /// The tokens of an installation; its root secret decides which are its own.
    #[must_use]
    pub fn new(root: &RootSecret) -> Self {
        Self { key: root.derive("doorward/one-time/v1") }
    }

    /// The token that a mail carries, as it stands in its link.
    #[must_use]
    pub fn text(&self, mail: MailId, purpose: OneTimePurpose) -> SecretString {
        let mut bytes = Zeroizing::new([0; TOKEN_LENGTH]);
        let (id, secret) = bytes.split_at_mut(ID_LENGTH);
        id.copy_from_slice(mail.uuid().as_bytes());
        secret.copy_from_slice(self.secret(mail, purpose).as_slice());
        SecretString::from(format!("{}{}", Self::PREFIX, URL_SAFE_NO_PAD.encode(bytes.as_slice())))
    }

    /// What the database keeps in place of the token.
    #[must_use]
    pub fn hash(&self, mail: MailId, purpose: OneTimePurpose) -> OneTimeTokenHash {
        OneTimeTokenHash::from_bytes(Sha256::digest(self.secret(mail, purpose).as_slice()).into())
    }

    /// The hash of a token; `None` for any text that was not issued under this key for this purpose.
    #[must_use]
    pub fn recognise(&self, text: &SecretString, purpose: OneTimePurpose) -> Option<OneTimeTokenHash> {
        let encoded = text.expose_secret().strip_prefix(Self::PREFIX)?;
        if encoded.len() != TOKEN_LENGTH / 3 * 4 {
            return None;
        }
        let mut bytes = Zeroizing::new([0; TOKEN_LENGTH]);
        let length = URL_SAFE_NO_PAD.decode_slice(encoded, bytes.as_mut_slice()).ok()?;
        if length != TOKEN_LENGTH {
            return None;
        }
        let (id, secret) = bytes.split_first_chunk::<ID_LENGTH>()?;
        let mail = MailId::from_uuid(Uuid::from_bytes(*id));
        let genuine: bool = self.secret(mail, purpose).ct_eq(secret).into();
        genuine.then(|| self.hash(mail, purpose))
    }

    fn secret(&self, mail: MailId, purpose: OneTimePurpose) -> Zeroizing<[u8; SECRET_LENGTH]> {
        let message = [mail.uuid().as_bytes().as_slice(), purpose.as_str().as_bytes()].concat();
        Zeroizing::new(keyed_digest(&self.key, &message))
    }
}

impl fmt::Debug for OneTimeTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneTimeTokens(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::CountingEntropy;

    const MAIL: MailId = MailId::from_uuid(Uuid::from_u128(7));
    const PURPOSES: [OneTimePurpose; 4] = [
        OneTimePurpose::VerifyEmail,
        OneTimePurpose::ResetPassword,
        OneTimePurpose::ChangeEmail,
        OneTimePurpose::UndoEmailChange,
    ];

    fn tokens(seed: u64) -> OneTimeTokens {
        OneTimeTokens::new(&RootSecret::generate(&CountingEntropy::starting_at(seed)).unwrap())
    }

    #[test]
    fn a_token_is_recognised_for_its_purpose_and_key_alone() {
        let own = tokens(1);
        for purpose in PURPOSES {
            let text = own.text(MAIL, purpose);
            assert_eq!(own.text(MAIL, purpose).expose_secret(), text.expose_secret(), "a retry carries another token");
            for other in PURPOSES {
                let expected = (other == purpose).then(|| own.hash(MAIL, purpose));
                assert_eq!(own.recognise(&text, other), expected);
            }
            assert_eq!(tokens(2).recognise(&text, purpose), None);
        }
    }

    #[test]
    fn a_mangled_token_is_not_recognised() {
        let own = tokens(1);
        let text = own.text(MAIL, OneTimePurpose::ResetPassword);
        let text = text.expose_secret();
        for at in 0..text.len() {
            let mut mangled = text.as_bytes().to_vec();
            mangled[at] = if mangled[at] == b'A' { b'B' } else { b'A' };
            let mangled = SecretString::from(String::from_utf8(mangled).unwrap());
            assert_eq!(own.recognise(&mangled, OneTimePurpose::ResetPassword), None, "character {at}");
        }
        for text in ["", "dwo_", &text[1..], &text[..text.len() - 1], &format!("{text}A"), &format!("{text} ")] {
            assert_eq!(own.recognise(&SecretString::from(text.to_owned()), OneTimePurpose::ResetPassword), None);
        }
    }
}
