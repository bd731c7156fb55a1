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
