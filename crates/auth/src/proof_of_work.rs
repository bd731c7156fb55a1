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
pub(crate) mod tests {
    use doorward_domain::store::MockUnit;

    use super::*;
    use crate::RegistrationMode;
    use crate::testing::{CountingEntropy, NOW, SECOND, Seen, Setup, collision};

    pub(crate) const EASY: Difficulty = Difficulty(8);
    const HARDER: Difficulty = Difficulty(10);
    const PURPOSE: ProofPurpose = ProofPurpose::Register;

    fn own(seed: u64) -> ProofOfWork {
        ProofOfWork::new(&RootSecret::generate(&CountingEntropy::starting_at(seed)).unwrap())
    }

    fn challenge(difficulty: Difficulty) -> Challenge {
        own(1).challenge(PURPOSE, difficulty, NOW, &CountingEntropy::starting_at(50)).unwrap()
    }

    /// The first number from which on every condition on the digest's zeros holds.
    fn number(challenge: &Challenge, holds: impl Fn(u32) -> bool) -> u64 {
        let zeros = |number: &u64| leading_zeros(Sha256::digest(format!("{}.{number}", challenge.text)).into());
        (0..1_000_000).find(|number| holds(zeros(number))).unwrap()
    }

    /// The solution of a challenge.
    pub(crate) fn solve(challenge: &Challenge) -> Proof {
        let number = number(challenge, |zeros| zeros >= u32::from(challenge.difficulty.bits()));
        Proof(format!("{}.{number}", challenge.text))
    }

    fn judge(proof: &Proof, least: Difficulty, now: Timestamp) -> bool {
        own(1).check(proof, PURPOSE, least, now).is_some()
    }

    #[test]
    fn a_solution_is_good_for_its_purpose_key_and_time() {
        let challenge = challenge(EASY);
        let proof = solve(&challenge);
        for purpose in ProofPurpose::ALL {
            assert_eq!(own(1).check(&proof, purpose, EASY, NOW).is_some(), purpose == PURPOSE, "{purpose:?}");
        }
        assert_eq!(own(2).check(&proof, PURPOSE, EASY, NOW), None, "another installation's was taken");
        let expires_at = NOW.plus(Challenge::LIFETIME);
        assert!(judge(&proof, EASY, expires_at.minus(Duration::from_micros(1))));
        assert!(!judge(&proof, EASY, expires_at));
        let solved = own(1).check(&proof, PURPOSE, EASY, NOW).unwrap();
        assert_eq!(solved.expires_at, expires_at);
        let other = own(1).challenge(PURPOSE, EASY, NOW, &CountingEntropy::starting_at(70)).unwrap();
        assert_ne!(own(1).check(&solve(&other), PURPOSE, EASY, NOW).unwrap().id, solved.id);
    }

    #[test]
    fn the_work_has_to_be_done_and_to_be_as_much_as_is_asked_now() {
        let (easy, harder) = (challenge(EASY), challenge(HARDER));
        assert!(judge(&solve(&harder), EASY, NOW), "more than was asked for was refused");
        assert!(!judge(&solve(&easy), HARDER, NOW), "a challenge from before the change was taken");
        let lucky = number(&easy, |zeros| zeros >= 10);
        assert!(!judge(&Proof(format!("{}.{lucky}", easy.text)), HARDER, NOW), "luck took the place of the difficulty");
        let short = number(&harder, |zeros| zeros == 9);
        assert!(!judge(&Proof(format!("{}.{short}", harder.text)), EASY, NOW), "a bit is missing");
    }

    #[test]
    fn a_mangled_solution_is_not_taken() {
        let proof = solve(&challenge(EASY));
        assert!(judge(&proof, EASY, NOW));
        // The last digits would be another try, and 1 in 256 solves it.
        for at in 0..TEXT_LENGTH {
            let mut mangled = proof.0.clone().into_bytes();
            mangled[at] = if mangled[at] == b'A' { b'B' } else { b'A' };
            let mangled = Proof(String::from_utf8(mangled).unwrap());
            assert!(!judge(&mangled, EASY, NOW), "character {at}");
        }
        let (text, number) = proof.0.split_once('.').unwrap();
        let long = "1".repeat(MOST_DIGITS + 1);
        for wrong in [
            String::new(),
            ".".to_owned(),
            text.to_owned(),
            format!("{text}."),
            format!("{text}.{number} "),
            format!("{text}.+{number}"),
            format!("{text}.{number}.{number}"),
            format!("{text}.{long}"),
            format!("{text}={number}"),
            format!("{}.{number}", &text[..text.len() - 1]),
            format!("x{}", proof.0),
            "é".repeat(TEXT_LENGTH),
        ] {
            assert!(!judge(&Proof(wrong.clone()), EASY, NOW), "{wrong}");
        }
    }

    #[test]
    fn a_challenge_says_itself_how_it_is_to_be_solved() {
        let challenge = challenge(HARDER);
        assert_eq!((challenge.text().len(), challenge.difficulty()), (TEXT_LENGTH, HARDER));
        assert!(challenge.text().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'));
    }

    #[test]
    fn a_difficulty_has_bounds() {
        for (bits, valid) in [(0, false), (7, false), (8, true), (26, true), (27, false), (255, false)] {
            assert_eq!(Difficulty::new(bits).is_ok(), valid, "{bits}");
        }
    }

    /// A service that asks for proofs.
    fn setup() -> Setup {
        let mut setup = Setup::new(RegistrationMode::Verified);
        setup.settings.proofs.difficulty = Some(EASY);
        setup
    }

    /// A unit in which a proof is spent, unless it had been before.
    pub(crate) fn spending(fresh: bool, spent: &Seen<(ProofId, Timestamp)>) -> MockUnit {
        let mut unit = MockUnit::default();
        let spent = spent.clone();
        unit.proofs.expect_spend().times(1).returning(move |id, expires_at| {
            spent.note((*id, expires_at));
            Ok(fresh)
        });
        unit
    }

    #[pollster::test]
    async fn a_good_proof_is_spent_once_and_committed() {
        for fresh in [true, false] {
            let (setup, spent) = (setup(), Seen::default());
            let committed = setup.store.plan_write(spending(fresh, &spent));
            let auth = setup.auth();
            let challenge = auth.challenge(PURPOSE).unwrap().unwrap();

            let outcome = auth.demand_proof(PURPOSE, Some(&solve(&challenge))).await;

            assert!(committed.yes());
            assert_eq!(spent.only().1, NOW.plus(Challenge::LIFETIME));
            match outcome {
                Ok(()) => assert!(fresh),
                Err(ProofError::Required(next)) => assert!(!fresh && next != challenge),
                Err(ProofError::Fault(fault)) => panic!("{fault}"),
            }
        }
    }

    #[pollster::test]
    async fn a_proof_that_is_not_good_asks_no_database_and_gets_a_challenge() {
        let setup = setup();
        let time = setup.time.clone();
        let auth = setup.auth();
        let good = solve(&auth.challenge(PURPOSE).unwrap().unwrap());
        let other = solve(&auth.challenge(ProofPurpose::Login).unwrap().unwrap());
        for proof in [None, Some(Proof::new("")), Some(other)] {
            let outcome = auth.demand_proof(PURPOSE, proof.as_ref()).await;
            let Err(ProofError::Required(challenge)) = outcome else { panic!("{proof:?}: {outcome:?}") };
            assert_eq!(challenge.difficulty(), EASY);
        }
        time.set(NOW.plus(Challenge::LIFETIME).plus(SECOND));
        let outcome = auth.demand_proof(PURPOSE, Some(&good)).await;
        assert!(matches!(outcome, Err(ProofError::Required(_))), "{outcome:?}");
    }

    #[pollster::test]
    async fn a_proof_is_asked_for_where_the_rules_say_so_alone() {
        let all = ProofRules { difficulty: Some(EASY), ..ProofRules::default() };
        for (rules, asked) in [
            (ProofRules::default(), [false, false, false]),
            (all, [true, true, true]),
            (ProofRules { register: false, ..all }, [false, true, true]),
            (ProofRules { reset: false, ..all }, [true, false, true]),
            (ProofRules { login_failures: false, ..all }, [true, true, false]),
        ] {
            for (purpose, asked) in ProofPurpose::ALL.into_iter().zip(asked) {
                let mut setup = setup();
                setup.settings.proofs = rules;
                let auth = setup.auth();
                assert_eq!(auth.challenge(purpose).unwrap().is_some(), asked, "{purpose:?}");
                let outcome = auth.demand_proof(purpose, None).await;
                assert_eq!(matches!(outcome, Err(ProofError::Required(_))), asked, "{purpose:?}: {outcome:?}");
                assert_eq!(outcome.is_ok(), !asked, "{purpose:?}");
            }
        }
    }

    #[pollster::test]
    async fn a_collision_spends_the_proof_in_another_attempt() {
        let (setup, spent) = (setup(), Seen::default());
        setup.store.plan_collision(spending(true, &spent));
        let mut collided = MockUnit::default();
        collided.proofs.expect_spend().times(1).returning(|_, _| Err(collision()));
        let undone = setup.store.plan_write(collided);
        let committed = setup.store.plan_write(spending(true, &spent));
        let auth = setup.auth();
        let challenge = auth.challenge(PURPOSE).unwrap().unwrap();

        let outcome = auth.demand_proof(PURPOSE, Some(&solve(&challenge))).await;

        assert!(outcome.is_ok() && !undone.yes() && committed.yes(), "{outcome:?}");
    }
}
