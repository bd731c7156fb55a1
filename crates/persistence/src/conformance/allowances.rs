//! How often an address is mailed.

use std::sync::Arc;
use std::time::Duration;

use doorward_domain::store::Allowance;
use doorward_domain::{EmailAddress, Store, StoreError, Timestamp};

use super::{CROWD, NOW, Outcome, address, after, count_true, crowd, must};

/// How long an allowance takes to come back.
const WINDOW: Duration = Duration::from_hours(1);

/// How many an address gets of each allowance within it.
const ALLOWED: usize = 5;

async fn take(
    store: &dyn Store,
    address: &EmailAddress,
    allowance: Allowance,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let mut unit = store.write().await?;
    let taken = unit.outbox().take_allowance(address, allowance, now, now.minus(WINDOW)).await?;
    unit.commit().await?;
    Ok(taken)
}

/// Of a crowd that names one address in any spelling, five get an allowance. The other allowance, and every other
/// address, has five of its own.
pub async fn an_allowance_is_five_however_many_ask(store: Arc<dyn Store>) -> Outcome {
    let spellings = [address("Crowd@Mail.Example")?, address("cROWD@mAIL.eXAMPLE")?];
    let other = address("other@mail.example")?;
    for (address, allowance) in [
        (None, Allowance::Requested),
        (None, Allowance::Notices),
        (Some(&other), Allowance::Requested),
        (Some(&other), Allowance::Notices),
    ] {
        let asked = address.map_or_else(|| spellings.clone(), |address| [address.clone(), address.clone()]);
        let writer = Arc::clone(&store);
        let taken = crowd(move |n| {
            let [even, odd] = asked.clone();
            let (store, address) = (Arc::clone(&writer), if n % 2 == 0 { even } else { odd });
            async move { take(&*store, &address, allowance, NOW).await }
        })
        .await?;
        must!(count_true(&taken) == ALLOWED, "{} of {CROWD} got one of {allowance:?}", count_true(&taken));
    }
    Ok(())
}

/// What was taken comes back one by one, each when it is an hour old. A refusal takes nothing.
pub async fn an_allowance_comes_back_one_by_one(store: Arc<dyn Store>) -> Outcome {
    let to = address("ada@mail.example")?;
    for (minutes, expected) in [
        (0, true),
        (10, true),
        (20, true),
        (30, true),
        (40, true),
        (41, false),
        (59, false),
        // The first is an hour old, and no other.
        (60, true),
        (60, false),
        (69, false),
        (70, true),
        (70, false),
        // Three more have come back, and those of minutes 60 and 70 have not.
        (100, true),
        (100, true),
        (100, true),
        (100, false),
        (119, false),
        (120, true),
    ] {
        let taken = take(&*store, &to, Allowance::Requested, after(60 * minutes)).await?;
        must!(taken == expected, "in minute {minutes} one was taken: {taken}");
    }
    Ok(())
}

/// Allowances of which nothing was taken for long are forgotten in batches, and are whole again; others stay spent.
pub async fn allowances_are_forgotten_in_batches(store: Arc<dyn Store>) -> Outcome {
    let (old, recent) = (address("old@mail.example")?, address("recent@mail.example")?);
    for n in 0..ALLOWED as u64 {
        must!(take(&*store, &old, Allowance::Requested, after(n)).await?, "an allowance was spent early");
        must!(take(&*store, &recent, Allowance::Requested, after(6 + n)).await?, "an allowance was spent early");
    }
    take(&*store, &old, Allowance::Notices, after(9)).await?;
    take(&*store, &address("another@mail.example")?, Allowance::Requested, NOW).await?;
    let mut batches = Vec::new();
    for _ in 0..3 {
        let mut unit = store.write().await?;
        // The last of `recent` was taken at this moment.
        batches.push(unit.outbox().forget_allowances(after(10), 2).await?);
        unit.commit().await?;
    }
    must!(batches == [2, 1, 0], "batches of {batches:?} were forgotten");
    must!(take(&*store, &old, Allowance::Requested, after(11)).await?, "a forgotten allowance is still spent");
    must!(!take(&*store, &recent, Allowance::Requested, after(11)).await?, "a spent allowance was forgotten");
    Ok(())
}
