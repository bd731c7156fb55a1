use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_domain::{Entropy, EntropyUnavailable};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::RootSecret;
use crate::seal::keyed_digest;

const ID_LENGTH: usize = 16;
const TAG_LENGTH: usize = 32;
const TOKEN_LENGTH: usize = ID_LENGTH + TAG_LENGTH;

/// What a device shows at a log-in so that it is known again: 128 random bits. It opens nothing; it only has wrong
/// passwords of strangers not count for its users.
#[derive(Clone)]
pub struct DeviceToken {
    id: Zeroizing<[u8; ID_LENGTH]>,
}

impl DeviceToken {
    #[cfg(test)]
    pub(crate) fn from_id(id: [u8; ID_LENGTH]) -> Self {
        Self { id: Zeroizing::new(id) }
    }

    /// A fresh token.
    pub(crate) fn generate(entropy: &dyn Entropy) -> Result<Self, EntropyUnavailable> {
        let mut id = Zeroizing::new([0; ID_LENGTH]);
        entropy.fill(id.as_mut_slice())?;
        Ok(Self { id })
    }

    /// What the database keeps in place of the token.
    pub(crate) fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.id.as_slice()).into()
    }
}

impl fmt::Debug for DeviceToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceToken(..)")
    }
}

/// Makes and recognises device tokens. They are signed, so that nobody can give a device an id that they know.
pub struct DeviceTokens {
    key: Zeroizing<[u8; 32]>,
}

impl DeviceTokens {
    /// What every device token begins with, for secret scanners to look for.
    pub const PREFIX: &'static str = "dwd_";
    /// How many devices of one user are known at once; those longest not seen are forgotten.
    pub const MOST: u32 = 20;

    /// The tokens of an installation; its root secret decides which are its own.
    #[must_use]
    pub fn new(root: &RootSecret) -> Self {
        Self { key: root.derive("doorward/device/v1") }
    }

    /// The token as a device keeps it.
    #[must_use]
    pub fn text(&self, token: &DeviceToken) -> SecretString {
        let mut bytes = Zeroizing::new([0; TOKEN_LENGTH]);
        let (id, tag) = bytes.split_at_mut(ID_LENGTH);
        id.copy_from_slice(token.id.as_slice());
        tag.copy_from_slice(self.tag(&token.id).as_slice());
        SecretString::from(format!("{}{}", Self::PREFIX, URL_SAFE_NO_PAD.encode(bytes.as_slice())))
    }

    /// The token that a text is; `None` for any text that was not made under this key.
    #[must_use]
    pub fn recognise(&self, text: &SecretString) -> Option<DeviceToken> {
        let encoded = text.expose_secret().strip_prefix(Self::PREFIX)?;
        if encoded.len() != TOKEN_LENGTH / 3 * 4 {
            return None;
        }
        let mut bytes = Zeroizing::new([0; TOKEN_LENGTH]);
        URL_SAFE_NO_PAD.decode_slice(encoded, bytes.as_mut_slice()).ok()?;
        let (id, tag) = bytes.split_first_chunk::<ID_LENGTH>()?;
        let genuine: bool = self.tag(id).ct_eq(tag).into();
        genuine.then(|| DeviceToken { id: Zeroizing::new(*id) })
    }

    fn tag(&self, id: &[u8; ID_LENGTH]) -> Zeroizing<[u8; TAG_LENGTH]> {
        Zeroizing::new(keyed_digest(&self.key, id))
    }
}

impl fmt::Debug for DeviceTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceTokens(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::CountingEntropy;

    fn tokens(seed: u64) -> DeviceTokens {
        DeviceTokens::new(&RootSecret::generate(&CountingEntropy::starting_at(seed)).unwrap())
    }

    #[test]
    fn a_token_is_recognised_under_its_key_alone_and_no_mangled_one() {
        let own = tokens(1);
        let token = DeviceToken::generate(&CountingEntropy::starting_at(5)).unwrap();
        let text = own.text(&token);
        assert_eq!(own.recognise(&text).unwrap().digest(), token.digest());
        assert!(tokens(2).recognise(&text).is_none());
        let text = text.expose_secret();
        for at in 0..text.len() {
            let mut mangled = text.as_bytes().to_vec();
            mangled[at] = if mangled[at] == b'A' { b'B' } else { b'A' };
            let mangled = SecretString::from(String::from_utf8(mangled).unwrap());
            assert!(own.recognise(&mangled).is_none(), "character {at}");
        }
        for text in ["", "dwd_", &text[1..], &text[..text.len() - 1], &format!("{text}A")] {
            assert!(own.recognise(&SecretString::from(text.to_owned())).is_none());
        }
    }
}
