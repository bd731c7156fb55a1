use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_domain::{Entropy, EntropyUnavailable, RefreshTokenHash, SessionId};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::RootSecret;
use crate::seal::keyed_digest;

const SESSION_LENGTH: usize = 16;
const GENERATION_LENGTH: usize = 4;
const SECRET_LENGTH: usize = 32;
const TAG_LENGTH: usize = 16;
/// What the tag vouches for: everything before it.
const BODY_LENGTH: usize = SESSION_LENGTH + GENERATION_LENGTH + SECRET_LENGTH;
const TOKEN_LENGTH: usize = BODY_LENGTH + TAG_LENGTH;

/// A refresh token: opaque to clients, 256 bits of entropy, base64url, with a prefix that secret scanners can
/// look for.
///
/// Inside are the session, the place in the session's chain, the secret, and a keyed tag over all three. The
/// tag lets a forged token be refused without asking the database, and lets an old token be recognised as a
/// replay long after its record has been forgotten.
///
/// It does not print, does not serialise and is wiped when dropped.
#[derive(Clone)]
pub struct RefreshToken(Zeroizing<[u8; TOKEN_LENGTH]>);

impl RefreshToken {
    /// What every refresh token begins with.
    pub const PREFIX: &'static str = "dwr_";

    /// The session that the token belongs to.
    #[must_use]
    pub fn session_id(&self) -> SessionId {
        SessionId::from_uuid(Uuid::from_bytes(self.part(0)))
    }

    /// The token's place in its session's chain.
    #[must_use]
    pub fn generation(&self) -> u32 {
        u32::from_be_bytes(self.part(SESSION_LENGTH))
    }

    /// What the database keeps in place of the token.
    #[must_use]
    pub fn hash(&self) -> RefreshTokenHash {
        RefreshTokenHash::from_bytes(Sha256::digest(self.0.as_slice()).into())
    }

    /// The text that the client gets.
    #[must_use]
    pub fn to_text(&self) -> SecretString {
        SecretString::from(format!("{}{}", Self::PREFIX, URL_SAFE_NO_PAD.encode(self.0.as_slice())))
    }

    fn part<const N: usize>(&self, start: usize) -> [u8; N] {
        self.0.get(start..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshToken(..)")
    }
}

/// Makes, continues and recognises refresh tokens.
pub struct RefreshTokens {
    tag_key: Zeroizing<[u8; 32]>,
    successor_key: Zeroizing<[u8; 32]>,
}

impl RefreshTokens {
    /// The tokens of an installation; its root secret decides which are its own.
    #[must_use]
    pub fn new(root: &RootSecret) -> Self {
        Self {
            tag_key: root.derive("doorward/refresh/tag/v1"),
            successor_key: root.derive("doorward/refresh/successor/v1"),
        }
    }

    /// The first token of a session.
    ///
    /// # Errors
    ///
    /// [`EntropyUnavailable`] when there is no randomness for its secret.
    pub fn first(&self, session: SessionId, entropy: &dyn Entropy) -> Result<RefreshToken, EntropyUnavailable> {
        let mut secret = Zeroizing::new([0; SECRET_LENGTH]);
        entropy.fill(secret.as_mut_slice())?;
        Ok(self.assemble(session, 0, &secret))
    }

    /// The token that follows this one. Always the same for the same token, and not to be computed without
    /// the key: so it never needs to be stored for being handed out a second time.
    #[must_use]
    pub fn successor(&self, token: &RefreshToken) -> RefreshToken {
        let secret = Zeroizing::new(keyed_digest(&self.successor_key, token.0.as_slice()));
        self.assemble(token.session_id(), token.generation().saturating_add(1), &secret)
    }

    /// Reads a token; `None` for any text that was not issued under this key.
    #[must_use]
    pub fn recognise(&self, text: &SecretString) -> Option<RefreshToken> {
        let encoded = text.expose_secret().strip_prefix(RefreshToken::PREFIX)?;
        let mut bytes = Zeroizing::new([0; TOKEN_LENGTH]);
        // `decode_slice` wants room for its estimate, which is an upper bound; a longer text is not a token.
        if encoded.len() != TOKEN_LENGTH.div_ceil(3) * 4 - 1 {
            return None;
        }
        let mut room = Zeroizing::new([0; TOKEN_LENGTH + 3]);
        let length = URL_SAFE_NO_PAD.decode_slice(encoded, room.as_mut_slice()).ok()?;
        if length != TOKEN_LENGTH {
            return None;
        }
        bytes.copy_from_slice(room.first_chunk::<TOKEN_LENGTH>()?);
        let (body, tag) = bytes.split_at(BODY_LENGTH);
        let genuine: bool = keyed_digest(&self.tag_key, body).first_chunk::<TAG_LENGTH>()?.ct_eq(tag).into();
        genuine.then_some(RefreshToken(bytes))
    }

    fn assemble(&self, session: SessionId, generation: u32, secret: &[u8; SECRET_LENGTH]) -> RefreshToken {
        let mut bytes = Zeroizing::new([0; TOKEN_LENGTH]);
        let (body, tag) = bytes.split_at_mut(BODY_LENGTH);
        let (session_part, rest) = body.split_at_mut(SESSION_LENGTH);
        let (generation_part, secret_part) = rest.split_at_mut(GENERATION_LENGTH);
        session_part.copy_from_slice(session.uuid().as_bytes());
        generation_part.copy_from_slice(&generation.to_be_bytes());
        secret_part.copy_from_slice(secret);
        let digest = keyed_digest(&self.tag_key, body);
        tag.copy_from_slice(digest.split_at(TAG_LENGTH).0);
        RefreshToken(bytes)
    }
}

impl fmt::Debug for RefreshTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshTokens(..)")
    }
}

#[cfg(test)]
mod tests {
    use doorward_domain::MockEntropy;

    use super::*;

    fn entropy(seed: u8) -> MockEntropy {
        let mut entropy = MockEntropy::new();
        entropy.expect_fill().returning(move |bytes| {
            bytes.fill(seed);
            Ok(())
        });
        entropy
    }

    fn tokens(seed: u8) -> RefreshTokens {
        RefreshTokens::new(&RootSecret::generate(&entropy(seed)).unwrap())
    }

    fn session() -> SessionId {
        SessionId::from_uuid(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001))
    }

    #[test]
    fn a_token_is_recognised_by_its_own_installation_alone() {
        let token = tokens(1).first(session(), &entropy(5)).unwrap();
        let again = tokens(1).recognise(&token.to_text()).unwrap();
        assert_eq!(again.session_id(), session());
        assert_eq!(again.generation(), 0);
        assert_eq!(again.hash(), token.hash());
        assert!(tokens(2).recognise(&token.to_text()).is_none());
    }

    #[test]
    fn a_successor_is_the_same_each_time_and_follows_its_predecessor() {
        let first = tokens(1).first(session(), &entropy(5)).unwrap();
        let second = tokens(1).successor(&first);
        assert_eq!(second.hash(), tokens(1).successor(&first).hash());
        assert_eq!(second.generation(), 1);
        assert_eq!(second.session_id(), session());
        assert_ne!(second.hash(), first.hash());
        assert_ne!(second.hash(), tokens(2).successor(&first).hash());
    }

    #[test]
    fn no_changed_text_is_recognised() {
        let tokens = tokens(1);
        let text = tokens.first(session(), &entropy(5)).unwrap().to_text();
        let text = text.expose_secret();
        for at in 0..text.len() {
            for replacement in ["A", "B", "_", "=", "", "AA", "\u{0}"] {
                let changed = format!("{}{replacement}{}", &text[..at], &text[at + 1..]);
                if changed != text {
                    assert!(tokens.recognise(&changed.clone().into()).is_none(), "{changed}");
                }
            }
        }
        for junk in [String::new(), "dwr_".to_owned(), format!("{text}="), format!(" {text}"), "x".repeat(1 << 20)] {
            assert!(tokens.recognise(&junk.into()).is_none());
        }
    }

    #[test]
    fn debug_output_keeps_the_token_secret() {
        let token = tokens(1).first(session(), &entropy(5)).unwrap();
        assert_eq!(format!("{token:?}"), "RefreshToken(..)");
    }
}
