//! One-time tokens.

use std::sync::Arc;

use doorward_domain::{OneTimePurpose, OneTimeToken, OneTimeTokenHash, Store, StoreError, Timestamp, User};

use super::outbox::mail_id;
use super::{CROWD, NOW, Outcome, Violation, after, crowd, must, stored_user, user};

const PURPOSES: [OneTimePurpose; 4] = [
    OneTimePurpose::VerifyEmail,
    OneTimePurpose::ResetPassword,
    OneTimePurpose::ChangeEmail,
    OneTimePurpose::UndoEmailChange,
];

/// A token that expires after 100 seconds, of a mail that was written after `n`.
fn token(user: &User, purpose: OneTimePurpose, n: u8) -> Result<OneTimeToken, Violation> {
    Ok(OneTimeToken {
        mail_id: mail_id(u64::from(n))?,
        user_id: user.id,
        purpose,
        hash: OneTimeTokenHash::from_bytes([n; 32]),
        address: user.email.clone(),
        expires_at: after(100),
    })
}

async fn issue(store: &dyn Store, token: &OneTimeToken) -> Result<bool, StoreError> {
    let mut unit = store.write().await?;
    let issued = unit.one_time_tokens().issue(token).await?;
    unit.commit().await?;
    Ok(issued)
}

async fn find(store: &dyn Store, token: &OneTimeToken, now: Timestamp) -> Result<Option<OneTimeToken>, StoreError> {
    store.read().await?.one_time_tokens().find(token.purpose, &token.hash, now).await
}

async fn consume(store: &dyn Store, token: &OneTimeToken, now: Timestamp) -> Result<Option<OneTimeToken>, StoreError> {
    let mut unit = store.write().await?;
    let consumed = unit.one_time_tokens().consume(token.purpose, &token.hash, now).await?;
    unit.commit().await?;
    Ok(consumed)
}

async fn is_outstanding(store: &dyn Store, token: &OneTimeToken, now: Timestamp) -> Result<bool, StoreError> {
    store.read().await?.one_time_tokens().is_outstanding(token.user_id, token.purpose, now).await
}

/// A token of each purpose comes back as it was written, whether it is looked at or used.
pub async fn a_one_time_token_survives_the_round_trip(store: Arc<dyn Store>) -> Outcome {
    let user = stored_user(&*store).await?;
    for (n, purpose) in (1..).zip(PURPOSES) {
        let token = token(&user, purpose, n)?;
        must!(!is_outstanding(&*store, &token, NOW).await?, "{purpose:?} is outstanding from the start");
        must!(issue(&*store, &token).await?, "a token of {purpose:?} was not issued");
        must!(is_outstanding(&*store, &token, NOW).await?, "an issued token of {purpose:?} is not outstanding");
        for look in 1..=2 {
            let found = find(&*store, &token, NOW).await?;
            must!(found.as_ref() == Some(&token), "look {look} found {found:?}");
        }
        let consumed = consume(&*store, &token, NOW).await?;
        must!(consumed.as_ref() == Some(&token), "the token was consumed as {consumed:?}");
        must!(find(&*store, &token, NOW).await?.is_none(), "a used token of {purpose:?} was found");
        must!(!is_outstanding(&*store, &token, NOW).await?, "a used token of {purpose:?} is outstanding");
    }
    Ok(())
}

/// Of many who present one token, exactly one gets it.
pub async fn a_one_time_token_is_consumed_once(store: Arc<dyn Store>) -> Outcome {
    let user = stored_user(&*store).await?;
    let token = token(&user, OneTimePurpose::ResetPassword, 1)?;
    issue(&*store, &token).await?;
    let (writer, presented) = (Arc::clone(&store), token.clone());
    let consumed = crowd(move |_| {
        let (store, token) = (Arc::clone(&writer), presented.clone());
        async move { consume(&*store, &token, after(1)).await }
    })
    .await?;
    let consumed: Vec<_> = consumed.into_iter().flatten().collect();
    must!(consumed == [token], "the token was consumed {} times", consumed.len());
    Ok(())
}

/// A token of another purpose, an expired one and an unknown one are not found, not used up and not outstanding.
pub async fn only_a_usable_one_time_token_is_consumed(store: Arc<dyn Store>) -> Outcome {
    let user = stored_user(&*store).await?;
    let issued = token(&user, OneTimePurpose::ResetPassword, 1)?;
    issue(&*store, &issued).await?;
    let other = OneTimeToken { purpose: OneTimePurpose::VerifyEmail, ..issued.clone() };
    let unknown = OneTimeToken { hash: OneTimeTokenHash::from_bytes([2; 32]), ..issued.clone() };
    for (what, token, now) in [
        ("of another purpose", &other, NOW),
        ("with an unknown hash", &unknown, NOW),
        ("at its expiry", &issued, issued.expires_at),
        ("after its expiry", &issued, after(101)),
    ] {
        must!(find(&*store, token, now).await?.is_none(), "a token {what} was found");
        must!(consume(&*store, token, now).await?.is_none(), "a token {what} was consumed");
    }
    must!(!is_outstanding(&*store, &other, NOW).await?, "a token is outstanding for another purpose");
    must!(!is_outstanding(&*store, &issued, issued.expires_at).await?, "an expired token is outstanding");
    let last = Timestamp::from_unix_micros(issued.expires_at.unix_micros() - 1);
    must!(is_outstanding(&*store, &issued, last).await?, "a token is not outstanding in its last microsecond");
    must!(consume(&*store, &issued, last).await? == Some(issued), "what was refused harmed the token");
    Ok(())
}

/// The token of a later mail takes the place of an earlier one, for good: the earlier one does not come back while
/// the later one is outstanding, nor when it was used.
pub async fn the_token_of_the_latest_mail_stands(store: Arc<dyn Store>) -> Outcome {
    const PURPOSE: OneTimePurpose = OneTimePurpose::ResetPassword;
    let (user, stranger) = (stored_user(&*store).await?, stored_user(&*store).await?);
    let (earlier, later) = (token(&user, PURPOSE, 1)?, token(&user, PURPOSE, 2)?);
    let beside = [token(&user, OneTimePurpose::VerifyEmail, 3)?, token(&stranger, PURPOSE, 4)?];
    for token in [&earlier].into_iter().chain(&beside).chain([&later]) {
        must!(issue(&*store, token).await?, "{token:?} was not issued");
    }
    must!(find(&*store, &earlier, NOW).await?.is_none(), "the earlier token outlived the later one");
    must!(!issue(&*store, &earlier).await?, "the earlier token was issued again");
    must!(find(&*store, &earlier, NOW).await?.is_none(), "the earlier token came back");
    must!(consume(&*store, &later, NOW).await? == Some(later), "the later token did not stand");
    must!(!issue(&*store, &earlier).await?, "the earlier token was issued after the later one was used");
    must!(find(&*store, &earlier, NOW).await?.is_none(), "the earlier token came back after the later one was used");
    for token in beside {
        must!(find(&*store, &token, NOW).await? == Some(token), "a token of another user or purpose was replaced");
    }
    let next = token(&user, PURPOSE, 5)?;
    must!(issue(&*store, &next).await?, "nothing can follow a used token");
    must!(find(&*store, &next, NOW).await? == Some(next), "what followed a used token cannot be used");
    Ok(())
}

/// However many mails are delivered at once, the token of the latest one stands.
pub async fn tokens_that_are_issued_at_once_leave_the_latest(store: Arc<dyn Store>) -> Outcome {
    const PURPOSE: OneTimePurpose = OneTimePurpose::VerifyEmail;
    let user = stored_user(&*store).await?;
    let mut tokens = Vec::new();
    for (n, _) in (1..).zip(0..CROWD) {
        tokens.push(token(&user, PURPOSE, n)?);
    }
    let (writer, issued) = (Arc::clone(&store), tokens.clone());
    crowd(move |n| {
        let (store, token) = (Arc::clone(&writer), issued.get(n).cloned());
        async move {
            match token {
                Some(token) => issue(&*store, &token).await,
                None => Ok(false),
            }
        }
    })
    .await?;
    let mut usable = Vec::new();
    for token in &tokens {
        usable.extend(find(&*store, token, NOW).await?);
    }
    must!(usable.as_slice() == tokens.last().map_or(&[][..], std::slice::from_ref), "{usable:?} can be used");
    Ok(())
}

/// Issuing a token again moves its expiry, also when it expired before it was used.
pub async fn issuing_a_token_again_moves_its_expiry(store: Arc<dyn Store>) -> Outcome {
    let user = stored_user(&*store).await?;
    let first = token(&user, OneTimePurpose::ResetPassword, 1)?;
    must!(issue(&*store, &first).await?, "the token was not issued");
    for seconds in [150, 300] {
        let again = OneTimeToken { expires_at: after(seconds), ..first.clone() };
        must!(issue(&*store, &again).await?, "the token was not issued again");
        let found = find(&*store, &first, after(seconds - 1)).await?;
        must!(found == Some(again), "the token issued again is {found:?}");
        must!(find(&*store, &first, after(seconds)).await?.is_none(), "the moved expiry does not hold");
    }
    Ok(())
}

/// Issuing a token again revives it neither when it was used nor when it was revoked.
pub async fn a_used_or_revoked_token_is_not_revived(store: Arc<dyn Store>) -> Outcome {
    let user = stored_user(&*store).await?;
    let (used, revoked) =
        (token(&user, OneTimePurpose::ResetPassword, 1)?, token(&user, OneTimePurpose::VerifyEmail, 2)?);
    issue(&*store, &used).await?;
    issue(&*store, &revoked).await?;
    must!(consume(&*store, &used, NOW).await?.is_some(), "the token was not consumed");
    let mut unit = store.write().await?;
    unit.one_time_tokens().revoke_all(user.id, None, NOW).await?;
    unit.commit().await?;
    for (what, token) in [("used", used), ("revoked", revoked)] {
        let again = OneTimeToken { expires_at: after(200), ..token };
        must!(!issue(&*store, &again).await?, "a {what} token was issued again");
        must!(find(&*store, &again, NOW).await?.is_none(), "a {what} token can be used again");
        must!(!is_outstanding(&*store, &again, NOW).await?, "a {what} token is outstanding again");
    }
    Ok(())
}

/// A token of nobody is a conflict.
pub async fn a_one_time_token_needs_its_user(store: Arc<dyn Store>) -> Outcome {
    let orphan = token(&user()?, OneTimePurpose::VerifyEmail, 1)?;
    let outcome = issue(&*store, &orphan).await;
    must!(matches!(outcome, Err(StoreError::Conflict { .. })), "a token of nobody gave {outcome:?}");
    Ok(())
}

/// Revoking takes a user's tokens of every purpose but the spared one, and nobody else's.
pub async fn revoking_spares_one_purpose_and_other_users(store: Arc<dyn Store>) -> Outcome {
    const SPARED: OneTimePurpose = OneTimePurpose::UndoEmailChange;
    let (user, stranger) = (stored_user(&*store).await?, stored_user(&*store).await?);
    let mut tokens = Vec::new();
    for (n, purpose) in (1..).zip(PURPOSES) {
        tokens.push(token(&user, purpose, n)?);
    }
    let strangers = token(&stranger, OneTimePurpose::ResetPassword, 9)?;
    for token in tokens.iter().chain([&strangers]) {
        issue(&*store, token).await?;
    }
    for except in [Some(SPARED), None] {
        let mut unit = store.write().await?;
        unit.one_time_tokens().revoke_all(user.id, except, after(1)).await?;
        unit.commit().await?;
        for token in &tokens {
            let (purpose, usable) = (token.purpose, except == Some(token.purpose));
            let found = find(&*store, token, after(1)).await?.is_some();
            must!(found == usable, "{purpose:?} with {except:?} spared can be used: {found}");
            let outstanding = is_outstanding(&*store, token, after(1)).await?;
            must!(outstanding == usable, "{purpose:?} with {except:?} spared is outstanding: {outstanding}");
        }
    }
    must!(find(&*store, &strangers, after(1)).await? == Some(strangers), "a stranger's token was revoked");
    Ok(())
}

/// A deleted user's tokens are gone, and nobody else's.
pub async fn one_time_tokens_go_with_their_user(store: Arc<dyn Store>) -> Outcome {
    let (user, stranger) = (stored_user(&*store).await?, stored_user(&*store).await?);
    let (theirs, strangers) =
        (token(&user, OneTimePurpose::ResetPassword, 1)?, token(&stranger, OneTimePurpose::ResetPassword, 2)?);
    issue(&*store, &theirs).await?;
    issue(&*store, &strangers).await?;
    let mut unit = store.write().await?;
    must!(unit.users().delete(user.id, NOW).await?, "the user was not deleted");
    unit.commit().await?;
    must!(find(&*store, &theirs, NOW).await?.is_none(), "a token outlived its user");
    must!(consume(&*store, &theirs, NOW).await?.is_none(), "a deleted user's token was consumed");
    must!(find(&*store, &strangers, NOW).await? == Some(strangers), "a stranger's token was deleted");
    Ok(())
}

/// Expired tokens go in batches; those that expire at the moment or later stay.
pub async fn expired_one_time_tokens_are_deleted_in_batches(store: Arc<dyn Store>) -> Outcome {
    let (user, other) = (stored_user(&*store).await?, stored_user(&*store).await?);
    let mut gone = Vec::new();
    for (n, purpose) in (1..).zip(PURPOSES).take(3) {
        gone.push(OneTimeToken { expires_at: after(u64::from(n)), ..token(&user, purpose, n)? });
    }
    let stays = [
        OneTimeToken { expires_at: after(4), ..token(&user, OneTimePurpose::UndoEmailChange, 4)? },
        token(&other, OneTimePurpose::VerifyEmail, 5)?,
    ];
    for token in gone.iter().chain(&stays) {
        issue(&*store, token).await?;
    }
    let mut batches = Vec::new();
    for _ in 0..3 {
        let mut unit = store.write().await?;
        batches.push(unit.one_time_tokens().delete_expired(after(4), 2).await?);
        unit.commit().await?;
    }
    must!(batches == [2, 1, 0], "batches of {batches:?} were deleted");
    for token in gone {
        must!(find(&*store, &token, NOW).await?.is_none(), "an expired token stayed");
    }
    for token in stays {
        must!(find(&*store, &token, NOW).await? == Some(token), "a token was deleted before its time");
    }
    Ok(())
}
