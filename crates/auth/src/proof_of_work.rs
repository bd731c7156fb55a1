use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_domain::{Entropy, EntropyUnavailable, ProofId, Timestamp};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::seal::keyed_digest;
use crate::unit::retrying;
use crate::{Auth, Fault, RootSecret};

/// What a proof of work is good for, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProofPurpose {
    /// Registering.
    Register,
    /// Asking for a mail: one that resets a password, or another one that verifies an address.
    ResetPassword,
    /// Logging in after wrong passwords.
    Login,
}

impl ProofPurpose {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Register, Self::ResetPassword, Self::Login];

    /// Its stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::ResetPassword => "reset_password",
            Self::Login => "login",
        }
    }

    /// The purpose of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.as_str() == name)
    }

    const fn tag(self) -> u8 {
        match self {
            Self::Register => 1,
            Self::ResetPassword => 2,
            Self::Login => 3,
        }
    }
}

/// How much work a proof is: with how many zero bits its digest begins. One bit more is twice the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difficulty(u8);

/// The number is no [`Difficulty`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("must be 0, for none, or {} to {} bits", Difficulty::LEAST, Difficulty::MOST)]
pub struct InvalidDifficulty;

impl Difficulty {
    /// 256 digests on average, which is no time at all.
    pub const LEAST: u8 = 8;
    /// 67 million digests on average: a minute or two in a browser.
    pub const MOST: u8 = 26;

    /// A difficulty of so many bits.
    ///
    /// # Errors
    ///
    /// [`InvalidDifficulty`] outside of [`LEAST`](Self::LEAST) and [`MOST`](Self::MOST).
    pub const fn new(bits: u8) -> Result<Self, InvalidDifficulty> {
        if bits >= Self::LEAST && bits <= Self::MOST { Ok(Self(bits)) } else { Err(InvalidDifficulty) }
    }

    /// The number of bits.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }
}

/// Where a proof of work is asked for, and how much.
///
/// # Defaults
///
/// Nowhere. With a difficulty, wherever one can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProofRules {
    /// How much; `None` for no proofs at all.
    pub difficulty: Option<Difficulty>,
    /// Whether to ask who registers.
    pub register: bool,
    /// Whether to ask who wants a mail.
    pub reset: bool,
    /// Whether to ask who logs in after [`FAILURES`](Self::FAILURES) wrong passwords.
    pub login_failures: bool,
}

impl ProofRules {
    /// After how many wrong passwords in a row for an address a log-in needs a proof.
    pub const FAILURES: u32 = 3;

    /// How much is asked for this purpose; `None` for nothing.
    #[must_use]
    pub fn asked(&self, purpose: ProofPurpose) -> Option<Difficulty> {
        let asked = match purpose {
            ProofPurpose::Register => self.register,
            ProofPurpose::ResetPassword => self.reset,
            ProofPurpose::Login => self.login_failures,
        };
        self.difficulty.filter(|_| asked)
    }
}

impl Default for ProofRules {
    fn default() -> Self {
        Self { difficulty: None, register: true, reset: true, login_failures: true }
    }
}

/// What a client has to solve: to find a number so that the SHA-256 of the text, a dot and the number begins with as
/// many zero bits as the difficulty says. Good once, for its purpose and for [`LIFETIME`](Self::LIFETIME).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    text: String,
    difficulty: Difficulty,
}

impl Challenge {
    /// How long there is to solve it and to present the solution.
    pub const LIFETIME: Duration = Duration::from_mins(5);

    /// Its text: ASCII letters, digits, `_` and `-`.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How much work it is.
    #[must_use]
    pub const fn difficulty(&self) -> Difficulty {
        self.difficulty
    }
}

/// What a client presents as a solution: a challenge, a dot and a number of at most 20 decimal digits. Any text, until
/// it is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof(String);

impl Proof {
    /// A text that may be a solution.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// Why a request is not done.
#[derive(Debug, Error)]
pub enum ProofError {
    /// There was no proof, or none that is good. This is what to solve.
    #[error("a proof of work is needed")]
    Required(Challenge),
    /// Nobody's mistake.
    #[error(transparent)]
    Fault(#[from] Fault),
}

const PREFIX: &str = "dwp_";
const VERSION: u8 = 1;
/// Version, purpose, difficulty, the moment it expires, the random bits.
const BODY_LENGTH: usize = 3 + size_of::<i64>() + ProofId::LENGTH;
const TAG_LENGTH: usize = 32;
const LENGTH: usize = BODY_LENGTH + TAG_LENGTH;
/// The length of a challenge's text. With a dot and 1 to 20 digits it always fills two blocks of SHA-256.
const TEXT_LENGTH: usize = PREFIX.len() + (LENGTH * 4).div_ceil(3);
const MOST_DIGITS: usize = 20;

/// Makes challenges and checks their solutions.
///
/// A challenge says everything about itself and carries a tag that only an installation's nodes can make, so none is kept
/// anywhere. Checking takes one digest of two blocks and a keyed one, whatever is presented.
pub struct ProofOfWork {
    key: Zeroizing<[u8; 32]>,
}

/// A proof that is good and may have been used before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Solved {
    id: ProofId,
    expires_at: Timestamp,
}

impl ProofOfWork {
    /// The challenges of an installation; its root secret decides which are its own.
    #[must_use]
    pub fn new(root: &RootSecret) -> Self {
        Self { key: root.derive("doorward/proof-of-work/v1") }
    }

    fn challenge(
        &self,
        purpose: ProofPurpose,
        difficulty: Difficulty,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Challenge, EntropyUnavailable> {
        let mut id = [0; ProofId::LENGTH];
        entropy.fill(&mut id)?;
        let expires_at = now.plus(Challenge::LIFETIME).unix_micros().to_be_bytes();
        let body = [&[VERSION, purpose.tag(), difficulty.bits()][..], &expires_at, &id].concat();
        let tag = keyed_digest(&self.key, &body);
        let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode([&body[..], &tag].concat()));
        Ok(Challenge { text, difficulty })
    }

    /// Whether this solves a challenge of this installation, for this purpose, of at least this difficulty, that has not
    /// expired.
    fn check(&self, proof: &Proof, purpose: ProofPurpose, least: Difficulty, now: Timestamp) -> Option<Solved> {
        // What has not even the form of a solution is judged all the same, as one of zeros, and so takes as long.
        let (bytes, solution, formed) = match parse(&proof.0) {
            Some(bytes) => (bytes, proof.0.as_bytes(), true),
            None => ([0; LENGTH], &[b'0'; TEXT_LENGTH + 2][..], false),
        };
        let (body, tag) = bytes.split_at(BODY_LENGTH);
        let genuine: bool = keyed_digest(&self.key, body).ct_eq(tag).into();
        let zeros = leading_zeros(Sha256::digest(solution).into());

        let (&[version, tag, bits], rest) = body.split_first_chunk()?;
        let (expires_at, id) = rest.split_first_chunk()?;
        let expires_at = Timestamp::from_unix_micros(i64::from_be_bytes(*expires_at));
        let id = ProofId::from_bytes(*id.first_chunk()?);
        let good = [
            formed,
            genuine,
            version == VERSION,
            tag == purpose.tag(),
            bits >= least.bits(),
            zeros >= u32::from(bits),
            expires_at > now,
        ];
        good.iter().all(|good| *good).then_some(Solved { id, expires_at })
    }
}

/// The bytes of the challenge in a text that has the form of a solution.
fn parse(text: &str) -> Option<[u8; LENGTH]> {
    let (challenge, number) = text.split_once('.')?;
    let is_number = (1..=MOST_DIGITS).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
    if challenge.len() != TEXT_LENGTH || !is_number {
        return None;
    }
    let mut bytes = [0; LENGTH];
    let length = URL_SAFE_NO_PAD.decode_slice(challenge.strip_prefix(PREFIX)?, &mut bytes).ok()?;
    (length == LENGTH).then_some(bytes)
}

/// With how many zero bits a digest begins; 64 at most.
fn leading_zeros(digest: [u8; 32]) -> u32 {
    digest.first_chunk().map_or(0, |first| u64::from_be_bytes(*first).leading_zeros())
}

impl fmt::Debug for ProofOfWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProofOfWork(..)")
    }
}

impl Auth {
    /// A challenge, for a client that wants to solve one before it is asked; `None` where none is asked for.
    ///
    /// # Errors
    ///
    /// [`Fault::Entropy`] when the source of randomness gives nothing.
    pub fn challenge(&self, purpose: ProofPurpose) -> Result<Option<Challenge>, Fault> {
        let asked = self.settings().proofs.asked(purpose);
        asked.map(|difficulty| self.new_challenge(purpose, difficulty)).transpose()
    }

    /// Uses up a proof, where one is asked for this purpose.
    ///
    /// It is spent in a unit of its own, whatever becomes of the request: another attempt is more work.
    pub(crate) async fn demand_proof(&self, purpose: ProofPurpose, proof: Option<&Proof>) -> Result<(), ProofError> {
        let Some(difficulty) = self.settings().proofs.asked(purpose) else { return Ok(()) };
        let now = self.now();
        let solved = proof.and_then(|proof| self.parts().proof_of_work.check(proof, purpose, difficulty, now));
        let is_good = match solved {
            Some(solved) => self.spend(solved).await?,
            None => false,
        };
        if is_good { Ok(()) } else { Err(ProofError::Required(self.new_challenge(purpose, difficulty)?)) }
    }

    fn new_challenge(&self, purpose: ProofPurpose, difficulty: Difficulty) -> Result<Challenge, Fault> {
        let parts = self.parts();
        Ok(parts.proof_of_work.challenge(purpose, difficulty, self.now(), &*parts.entropy)?)
    }

    async fn spend(&self, Solved { id, expires_at }: Solved) -> Result<bool, Fault> {
        retrying(|| async {
            let mut unit = self.store().write().await?;
            let spent = unit.proofs().spend(&id, expires_at).await?;
            unit.commit().await?;
            Ok(spent)
        })
        .await
    }
}

#[cfg(test)]
pub(crate) mod tests;
