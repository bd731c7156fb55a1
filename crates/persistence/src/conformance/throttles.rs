//! How often something was tried.

use std::sync::Arc;
use std::time::Duration;

use doorward_domain::store::{Taken, ThrottleKey};
use doorward_domain::{Entropy as _, GuessPolicy, Rate, Store, StoreError, Timestamp};

use super::{Outcome, Surroundings, Violation, after, crowd, must};

const RATE: Rate = Rate::new(10, Duration::from_secs(20));

const POLICY: GuessPolicy =
    GuessPolicy { free: 3, first_delay: Duration::from_secs(10), longest_delay: Duration::from_secs(35), most: 7 };

fn key() -> Result<ThrottleKey, Violation> {
    let mut bytes = [0; 32];
    Surroundings.fill(&mut bytes)?;
    Ok(ThrottleKey::from_bytes(bytes))
}

async fn take(store: &dyn Store, key: &ThrottleKey, now: Timestamp) -> Result<Taken, StoreError> {
    let mut unit = store.write().await?;
    let taken = unit.throttles().take(key, RATE, now).await?;
    unit.commit().await?;
    Ok(taken)
}

async fn guess(store: &dyn Store, key: &ThrottleKey, kept: bool, now: Timestamp) -> Result<Taken, StoreError> {
    let mut unit = store.write().await?;
    let taken = unit.throttles().begin_guess(key, &POLICY, kept, now).await?;
    unit.commit().await?;
    Ok(taken)
}

/// Of any number of callers at one moment, as many get one as the rate allows at once.
pub async fn a_rate_allows_so_many_at_once_however_many_ask(store: Arc<dyn Store>) -> Outcome {
    let key = key()?;
    let shared = Arc::clone(&store);
    let outcomes = crowd(move |_| {
        let store = Arc::clone(&shared);
        async move { take(&*store, &key, after(0)).await }
    })
    .await?;
    let taken = outcomes.iter().filter(|taken| **taken == Taken::Yes).count();
    must!(taken == 10, "{taken} were taken of 10");
    let refused = outcomes.iter().find(|taken| **taken != Taken::Yes);
    must!(refused == Some(&Taken::NotBefore(after(2))), "one comes back every two seconds: {refused:?}");
    Ok(())
}

/// What was taken comes back one by one, all of it after the window, and no more than there was; what is given back is
/// there at once.
pub async fn a_rate_comes_back_one_by_one(store: Arc<dyn Store>) -> Outcome {
    let key = key()?;
    for _ in 0..10 {
        must!(take(&*store, &key, after(0)).await? == Taken::Yes, "one of ten was refused");
    }
    must!(take(&*store, &key, after(1)).await? == Taken::NotBefore(after(2)), "one came back too early");
    must!(take(&*store, &key, after(2)).await? == Taken::Yes, "none came back");
    must!(take(&*store, &key, after(2)).await? != Taken::Yes, "two came back");
    let mut unit = store.write().await?;
    unit.throttles().give_back(&key, RATE).await?;
    unit.commit().await?;
    must!(take(&*store, &key, after(2)).await? == Taken::Yes, "what was given back is not there");
    let mut again = 0;
    while take(&*store, &key, after(1_000)).await? == Taken::Yes {
        again += 1;
    }
    must!(again == 10, "{again} came back of 10");
    Ok(())
}

/// Of any number of callers at one moment, as many may guess as the policy allows without a delay.
pub async fn guesses_are_counted_however_many_come_at_once(store: Arc<dyn Store>) -> Outcome {
    let key = key()?;
    let shared = Arc::clone(&store);
    let outcomes = crowd(move |_| {
        let store = Arc::clone(&shared);
        async move { guess(&*store, &key, true, after(0)).await }
    })
    .await?;
    let taken = outcomes.iter().filter(|taken| **taken == Taken::Yes).count();
    must!(taken == 3, "{taken} may guess of 3");
    must!(store.read().await?.throttles().guesses(&key).await? == 3, "refused guesses were counted");
    Ok(())
}

/// The delay doubles with each guess up to the longest, and after the last guess no time helps.
pub async fn guesses_are_delayed_and_end(store: Arc<dyn Store>) -> Outcome {
    let key = key()?;
    let mut now = 0;
    for (guesses, delay) in [(1, 0), (2, 0), (3, 10), (4, 20), (5, 35), (6, 35), (7, 35)] {
        must!(guess(&*store, &key, true, after(now)).await? == Taken::Yes, "guess {guesses} was refused");
        if delay > 0 && guesses < 7 {
            let early = guess(&*store, &key, true, after(now + delay - 1)).await?;
            must!(early == Taken::NotBefore(after(now + delay)), "guess {guesses} has another delay: {early:?}");
        }
        now += delay;
    }
    let later = now + 1_000_000;
    let spent = guess(&*store, &key, true, after(later)).await?;
    must!(spent == Taken::NotBefore(after(later + 35)), "an eighth guess: {spent:?}");
    Ok(())
}

/// A guess that was taken back does not count, and the right password has all counted from the start.
pub async fn a_right_password_has_guesses_counted_from_the_start(store: Arc<dyn Store>) -> Outcome {
    let (key, other) = (key()?, key()?);
    // Whoever read the clock first may come last.
    for moment in [2, 1, 0] {
        must!(guess(&*store, &key, true, after(moment)).await? == Taken::Yes, "a guess was refused");
        must!(guess(&*store, &other, true, after(moment)).await? == Taken::Yes, "a guess was refused");
    }
    let mut unit = store.write().await?;
    unit.throttles().take_back_guess(&key, after(0)).await?;
    unit.commit().await?;
    must!(guess(&*store, &key, true, after(0)).await? == Taken::Yes, "what was taken back counts");
    must!(guess(&*store, &key, true, after(0)).await? != Taken::Yes, "more was taken back than one");
    let mut unit = store.write().await?;
    unit.throttles().clear_guesses(&key).await?;
    unit.commit().await?;
    must!(guess(&*store, &key, true, after(0)).await? == Taken::Yes, "it still counts");
    must!(store.read().await?.throttles().guesses(&key).await? == 1, "it was not counted from the start");
    must!(guess(&*store, &other, true, after(0)).await? != Taken::Yes, "another's guesses were cleared");
    Ok(())
}

/// Rates that have come back are forgotten, and guesses for nobody after their time; guesses for an account never.
pub async fn throttles_are_forgotten_in_batches(store: Arc<dyn Store>) -> Outcome {
    let (kept, known_later) = (key()?, key()?);
    guess(&*store, &kept, true, after(0)).await?;
    guess(&*store, &known_later, false, after(0)).await?;
    guess(&*store, &known_later, true, after(0)).await?;
    for _ in 0..3 {
        guess(&*store, &key()?, false, after(0)).await?;
        take(&*store, &key()?, after(0)).await?;
    }
    let young = key()?;
    guess(&*store, &young, false, after(100)).await?;
    take(&*store, &young, after(100)).await?;
    for expected in [2, 1, 0] {
        let mut unit = store.write().await?;
        let forgotten = unit.throttles().forget(after(50), after(50), 2).await?;
        unit.commit().await?;
        must!(forgotten == expected, "{forgotten} were forgotten, not {expected}");
    }
    for (key, guesses) in [(&kept, 1), (&known_later, 2), (&young, 1)] {
        let found = store.read().await?.throttles().guesses(key).await?;
        must!(found == guesses, "{found} guesses are left of {guesses}");
    }
    Ok(())
}
