//! Accounts.

use std::sync::Arc;

use doorward_domain::store::{DeviceSeen, RevocationPosition};
use doorward_domain::{DisplayName, EmailAddress, Locale, Revocation, Store, StoreError, Timestamp, User, UserId};

use super::{
    CROWD, NOW, Outcome, Surroundings, address, after, count_true, credential, crowd, must, role, stored_session,
    stored_user, user,
};

/// Every field of a user comes back as it was written.
pub async fn a_user_survives_the_round_trip(store: Arc<dyn Store>) -> Outcome {
    let plain = user()?;
    let full = User {
        email: address("Full.Name+tag@xn--bcher-kva.example")?,
        email_verified_at: Some(after(1)),
        name: DisplayName::parse("Zoë \"O'Brien\" 李 🦊; DROP TABLE users").ok(),
        roles: vec!["admin".to_owned(), "a \"quoted\", role".to_owned()],
        disabled_at: Some(after(2)),
        created_at: Timestamp::from_unix_micros(1),
        updated_at: Timestamp::from_unix_micros(253_402_300_799_999_999),
        ..user()?
    };
    for user in [plain, full] {
        let mut unit = store.write().await?;
        must!(unit.users().insert_new(&user).await?, "a new user was not added");
        unit.commit().await?;
        let mut unit = store.read().await?;
        must!(unit.users().find(user.id).await?.as_ref() == Some(&user), "the user came back changed");
    }
    let mut unit = store.read().await?;
    let nobody = UserId::new(&Surroundings, &Surroundings)?;
    must!(unit.users().find(nobody).await?.is_none(), "an unknown user was found");
    Ok(())
}

/// Of many who register one address in any spelling, exactly one gets the account.
pub async fn one_address_is_one_account_however_many_ask(store: Arc<dyn Store>) -> Outcome {
    let writer = Arc::clone(&store);
    let added = crowd(move |n| {
        let store = Arc::clone(&writer);
        async move {
            let spelling = if n % 2 == 0 { "Crowd@Example.com" } else { "cROWD@eXAMPLE.COM" };
            let corrupt = |_| StoreError::Conflict { constraint: "case".to_owned() };
            let mut candidate = user().map_err(|_| StoreError::Conflict { constraint: "case".to_owned() })?;
            candidate.email = EmailAddress::parse(spelling).map_err(corrupt)?;
            let mut unit = store.write().await?;
            let added = unit.users().insert_new(&candidate).await?;
            unit.commit().await?;
            Ok(added)
        }
    })
    .await?;
    must!(count_true(&added) == 1, "{} of {CROWD} got the account", count_true(&added));
    Ok(())
}

/// Renaming returns the user as it is then, and nobody for an unknown id.
pub async fn a_renamed_user_is_returned(store: Arc<dyn Store>) -> Outcome {
    let user = stored_user(&*store).await?;
    for name in [DisplayName::parse("Grace").ok(), None] {
        let mut unit = store.write().await?;
        let renamed = unit.users().rename(user.id, name.clone(), after(3)).await?;
        unit.commit().await?;
        let expected = User { name, updated_at: after(3), ..user.clone() };
        must!(renamed.as_ref() == Some(&expected), "the renamed user is {renamed:?}");
        must!(store.read().await?.users().find(user.id).await?.as_ref() == Some(&expected), "the name did not stay");
    }
    let nobody = UserId::new(&Surroundings, &Surroundings)?;
    must!(store.write().await?.users().rename(nobody, None, NOW).await?.is_none(), "an unknown user was renamed");
    Ok(())
}

async fn verify_email(
    store: &dyn Store,
    id: UserId,
    address: &EmailAddress,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let mut unit = store.write().await?;
    let theirs = unit.users().verify_email(id, address, now).await?;
    unit.commit().await?;
    Ok(theirs)
}

async fn change_email(
    store: &dyn Store,
    id: UserId,
    address: &EmailAddress,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let mut unit = store.write().await?;
    let given = unit.users().change_email(id, address, now).await?;
    unit.commit().await?;
    Ok(given)
}

/// The language of a user comes back as it was written, however the user is found.
pub async fn the_language_of_a_user_survives_the_round_trip(store: Arc<dyn Store>) -> Outcome {
    for locale in [Locale::parse("pt-BR").ok(), None] {
        let user = User { locale, ..user()? };
        let mut unit = store.write().await?;
        must!(unit.users().insert_new(&user).await?, "a new user was not added");
        must!(unit.users().find(user.id).await?.as_ref() == Some(&user), "the user came back changed");
        must!(unit.users().hold(user.id).await?.as_ref() == Some(&user), "the held user is another");
        let renamed = unit.users().rename(user.id, None, user.updated_at).await?;
        must!(renamed.as_ref() == Some(&user), "the renamed user is {renamed:?}");
        unit.commit().await?;
    }
    Ok(())
}

/// A user is found by every spelling of their address and by no other address.
pub async fn a_user_is_found_by_any_spelling_of_the_address(store: Arc<dyn Store>) -> Outcome {
    let user = stored_user(&*store).await?;
    let mut unit = store.read().await?;
    for spelling in [user.email.as_str().to_owned(), user.email.as_str().to_uppercase()] {
        let found = unit.users().find_by_address(&address(&spelling)?).await?;
        must!(found.as_ref() == Some(&user), "{spelling} led to {found:?}");
    }
    let nobody = unit.users().find_by_address(&address("nobody@example.com")?).await?;
    must!(nobody.is_none(), "an unknown address was found");
    Ok(())
}

/// An address is verified while it is the user's, in any spelling, and stays verified since the first time.
pub async fn an_address_is_verified_while_it_is_theirs(store: Arc<dyn Store>) -> Outcome {
    let user = stored_user(&*store).await?;
    let other = address("other@example.com")?;
    must!(!verify_email(&*store, user.id, &other, after(1)).await?, "an address was verified that is not theirs");
    must!(!verify_email(&*store, super::user()?.id, &user.email, after(1)).await?, "nobody's address was verified");
    let found = store.read().await?.users().find(user.id).await?;
    must!(found.as_ref() == Some(&user), "a refusal made the user {found:?}");
    let spelling = address(&user.email.as_str().to_uppercase())?;
    for seconds in [2, 3] {
        must!(verify_email(&*store, user.id, &spelling, after(seconds)).await?, "their address is not theirs");
        let found = store.read().await?.users().find(user.id).await?;
        let verified = found.is_some_and(|found| {
            found.email_verified_at == Some(after(2)) && found.email.as_str() == user.email.as_str()
        });
        must!(verified, "the address was not verified, or not since the first time");
    }
    must!(!verify_email(&*store, user.id, &other, after(4)).await?, "another address counts as theirs");
    Ok(())
}

/// An address of another account is refused in any spelling; a free one and their own are taken and verified.
pub async fn an_address_changes_to_a_free_one(store: Arc<dyn Store>) -> Outcome {
    let (user, other) = (stored_user(&*store).await?, stored_user(&*store).await?);
    let taken = address(&other.email.as_str().to_uppercase())?;
    must!(!change_email(&*store, user.id, &taken, after(1)).await?, "an address was given to two accounts");
    let free = address("Free.One@Example.com")?;
    must!(!change_email(&*store, super::user()?.id, &free, after(1)).await?, "nobody was given an address");
    let mut unit = store.read().await?;
    must!(unit.users().find(user.id).await?.as_ref() == Some(&user), "a refusal changed the user");
    must!(unit.users().find(other.id).await?.as_ref() == Some(&other), "a refusal changed the other user");
    drop(unit);

    let own = address(&user.email.as_str().to_uppercase())?;
    for (seconds, email) in [(2, own), (3, free.clone())] {
        must!(change_email(&*store, user.id, &email, after(seconds)).await?, "{} was refused", email.as_str());
        let expected = User {
            email: email.clone(),
            email_verified_at: Some(after(seconds)),
            updated_at: after(seconds),
            ..user.clone()
        };
        let found = store.read().await?.users().find_by_address(&email).await?;
        must!(found.as_ref() == Some(&expected), "the user of the new address is {found:?}");
    }
    must!(store.read().await?.users().find_by_address(&user.email).await?.is_none(), "the old address is not free");
    must!(change_email(&*store, other.id, &user.email, after(4)).await?, "the old address was refused to another");
    Ok(())
}

/// Of many users who change to one address at once, one gets it; the others are told so.
pub async fn one_address_is_given_to_one_user(store: Arc<dyn Store>) -> Outcome {
    let mut users = Vec::new();
    let mut unit = store.write().await?;
    for _ in 0..CROWD {
        let user = user()?;
        unit.users().insert_new(&user).await?;
        users.push(user.id);
    }
    unit.commit().await?;
    let wanted = address("Wanted@Example.com")?;
    let (writer, ids, email) = (Arc::clone(&store), users.clone(), wanted.clone());
    let given = crowd(move |n| {
        let (store, id, email) = (Arc::clone(&writer), ids.get(n).copied(), email.clone());
        async move {
            let Some(id) = id else { return Ok(false) };
            match change_email(&*store, id, &email, after(1)).await {
                Err(StoreError::Conflict { .. }) => Ok(false),
                outcome => outcome,
            }
        }
    })
    .await?;
    must!(count_true(&given) == 1, "the address was given {} times", count_true(&given));
    let winner = users.iter().zip(&given).find(|(_, given)| **given).map(|(id, _)| *id);
    let owner = store.read().await?.users().find_by_address(&wanted).await?;
    must!(owner.is_some_and(|owner| Some(owner.id) == winner), "the address was given to another than was told");
    Ok(())
}

/// A deleted user leaves nothing behind but the news that their sessions ended; somebody else loses nothing.
///
/// Their one-time tokens have a case of their own.
pub async fn a_deleted_user_leaves_nothing_behind(store: Arc<dyn Store>) -> Outcome {
    const DEVICE: [u8; 32] = [7; 32];
    let (user, stranger) = (stored_user(&*store).await?, stored_user(&*store).await?);
    let strangers = stored_session(&*store, &stranger).await?.id;
    let mut sessions = vec![stored_session(&*store, &user).await?.id, stored_session(&*store, &user).await?.id];
    sessions.sort_unstable();
    let mut unit = store.write().await?;
    for user in [&user, &stranger] {
        unit.credentials().insert(&credential(user)?).await?;
        unit.sessions().note_device(user.id, DEVICE, NOW).await?;
    }
    unit.commit().await?;

    let mut unit = store.write().await?;
    must!(unit.users().delete(user.id, after(5)).await?, "the user was not deleted");
    unit.commit().await?;
    let mut unit = store.write().await?;
    must!(!unit.users().delete(user.id, after(6)).await?, "the user was deleted twice");
    unit.commit().await?;

    let mut unit = store.write().await?;
    must!(unit.users().find(user.id).await?.is_none(), "a deleted user was found");
    must!(unit.users().find_by_address(&user.email).await?.is_none(), "a deleted user's address leads to somebody");
    must!(unit.credentials().find_by_address(&user.email).await?.is_none(), "a deleted user can log in");
    for id in &sessions {
        must!(unit.sessions().find(*id).await?.is_none(), "a session outlived its user");
        must!(unit.sessions().find_refresh(*id, 0).await?.is_none(), "a refresh token outlived its user");
    }
    let (records, _) = unit.revocations().since(RevocationPosition::START).await?;
    for id in &sessions {
        let ended = records.iter().any(|record| record.revocation == Revocation::SessionEnded(*id));
        must!(ended, "a session of a deleted user is not named as ended");
    }
    must!(records.iter().all(|record| record.at <= after(5)), "the sessions are named as ended later");

    // Whoever comes back under the same id finds nothing of before.
    must!(unit.users().insert_new(&user).await?, "the address of a deleted user is not free");
    must!(unit.credentials().find(user.id).await?.is_none(), "a password outlived its user");
    let seen = unit.sessions().note_device(user.id, DEVICE, after(7)).await?;
    must!(seen == DeviceSeen::First, "the device of a deleted user is {seen:?}");

    must!(unit.users().find(stranger.id).await?.as_ref() == Some(&stranger), "a stranger was changed");
    must!(unit.credentials().find(stranger.id).await?.is_some(), "a stranger lost their password");
    let found = unit.sessions().find(strangers).await?;
    must!(found.is_some_and(|session| session.ended_at.is_none()), "a stranger lost their session");
    let seen = unit.sessions().note_device(stranger.id, DEVICE, after(7)).await?;
    must!(seen == DeviceSeen::Known, "the device of a stranger is {seen:?}");
    Ok(())
}

/// However often a deletion is asked for at once, it happens once, and the others are told that there is nobody.
pub async fn a_user_is_deleted_once(store: Arc<dyn Store>) -> Outcome {
    let user = stored_user(&*store).await?;
    let session = stored_session(&*store, &user).await?.id;
    let (writer, id) = (Arc::clone(&store), user.id);
    let deleted = crowd(move |_| {
        let store = Arc::clone(&writer);
        async move {
            let mut unit = store.write().await?;
            let happened = unit.users().delete(id, after(1)).await?;
            unit.commit().await?;
            Ok(happened)
        }
    })
    .await?;
    must!(count_true(&deleted) == 1, "the user was deleted {} times", count_true(&deleted));
    let ended = super::revocations::ended(&*store).await?;
    must!(ended == [session], "{ended:?} are named as ended, {session:?} had to be");
    Ok(())
}

/// An account is deleted by its address, in any spelling, while the address is unverified and the account not disabled;
/// one that was used is spared where that is asked for.
pub async fn only_an_unverified_account_is_deleted_by_address(store: Arc<dyn Store>) -> Outcome {
    for spare_used in [true, false] {
        let unused = user()?;
        let verified = User { email_verified_at: Some(NOW), ..user()? };
        let disabled = User { disabled_at: Some(NOW), ..user()? };
        let used = user()?;
        let mut unit = store.write().await?;
        for user in [&unused, &verified, &disabled, &used] {
            unit.users().insert_new(user).await?;
        }
        unit.sessions().note_device(used.id, [7; 32], NOW).await?;
        unit.commit().await?;

        for (what, user, kept) in [
            ("a verified address", &verified, true),
            ("a disabled user", &disabled, true),
            ("a user with a device", &used, spare_used),
            ("nobody", &unused, false),
        ] {
            let mut unit = store.write().await?;
            unit.users()
                .delete_unverified(&address(&user.email.as_str().to_uppercase())?, spare_used, after(1))
                .await?;
            unit.commit().await?;
            let found = store.read().await?.users().find(user.id).await?.is_some();
            must!(found == kept, "the account of {what} is there: {found}");
        }
    }
    Ok(())
}

/// A user is disabled once, from a moment on, and enabled once.
pub async fn a_user_is_disabled_once(store: Arc<dyn Store>) -> Outcome {
    let (user, stranger) = (stored_user(&*store).await?, stored_user(&*store).await?);
    for (disabled_at, changed, expected) in [
        (None, false, None),
        (Some(after(1)), true, Some(after(1))),
        (Some(after(2)), false, Some(after(1))),
        (None, true, None),
        (None, false, None),
    ] {
        let mut unit = store.write().await?;
        let happened = unit.users().set_disabled(user.id, disabled_at, after(3)).await?;
        unit.commit().await?;
        let found = store.read().await?.users().find(user.id).await?.and_then(|user| user.disabled_at);
        must!(happened == changed && found == expected, "{disabled_at:?} was set ({happened}); now it is {found:?}");
    }
    let found = store.read().await?.users().find(stranger.id).await?;
    must!(found.as_ref() == Some(&stranger), "a stranger was changed");
    Ok(())
}

/// A user has the roles that were set last; somebody who is not there gets none.
pub async fn roles_are_replaced(store: Arc<dyn Store>) -> Outcome {
    let (user, stranger) = (stored_user(&*store).await?, stored_user(&*store).await?);
    for roles in [vec![role("admin")?, role("billing:read")?], vec![role("editor")?], Vec::new()] {
        let mut unit = store.write().await?;
        must!(unit.users().set_roles(user.id, &roles, after(1)).await?, "the roles of a user were not set");
        unit.commit().await?;
        let found = store.read().await?.users().find(user.id).await?.map(|user| user.roles);
        let expected: Vec<String> = roles.iter().map(ToString::to_string).collect();
        must!(found.as_ref() == Some(&expected), "{found:?} was found, {expected:?} had been set");
    }
    let nobody = super::user()?.id;
    let mut unit = store.write().await?;
    must!(!unit.users().set_roles(nobody, &[role("admin")?], after(1)).await?, "nobody got a role");
    unit.commit().await?;
    let found = store.read().await?.users().find(stranger.id).await?;
    must!(found.as_ref() == Some(&stranger), "a stranger was changed");
    Ok(())
}
