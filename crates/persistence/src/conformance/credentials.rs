//! Passwords.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use doorward_domain::{CredentialVersion, PasswordCredential, PasswordHashString, Store, StoreError, User, UserId};

use super::{
    CROWD, NOW, Outcome, Surroundings, Violation, address, after, count_true, credential, crowd, must, stored_user,
    user,
};

/// The password of an account is found by every spelling of its address and by no other.
pub async fn a_password_is_found_by_any_spelling_of_the_address(store: Arc<dyn Store>) -> Outcome {
    let user = stored_user(&*store).await?;
    let credential = credential(&user)?;
    let mut unit = store.write().await?;
    unit.credentials().insert(&credential).await?;
    unit.commit().await?;
    for spelling in [user.email.as_str().to_owned(), user.email.as_str().to_uppercase()] {
        let found = store.read().await?.credentials().find_by_address(&address(&spelling)?).await?;
        let Some((found_user, found)) = found else {
            return Err(Violation::Broken(format!("{spelling} was not found")));
        };
        must!(found_user == user, "another user was found");
        must!(found.version == credential.version && found.hash == credential.hash, "the password came back changed");
    }
    let nobody = store.read().await?.credentials().find_by_address(&address("nobody@example.com")?).await?;
    must!(nobody.is_none(), "an unknown address was found");
    Ok(())
}

/// A second password for one user is a conflict.
pub async fn a_user_has_one_password(store: Arc<dyn Store>) -> Outcome {
    let user = stored_user(&*store).await?;
    let mut unit = store.write().await?;
    unit.credentials().insert(&credential(&user)?).await?;
    let second = unit.credentials().insert(&credential(&user)?).await;
    must!(matches!(second, Err(StoreError::Conflict { .. })), "a second password gave {second:?}");
    Ok(())
}

/// Holding a setting of the password that is not the present one finds nobody.
pub async fn a_changed_password_is_not_held(store: Arc<dyn Store>) -> Outcome {
    let user = stored_user(&*store).await?;
    let present = credential(&user)?;
    let mut unit = store.write().await?;
    unit.credentials().insert(&present).await?;
    must!(unit.credentials().hold(user.id, present.version).await?.as_ref() == Some(&user), "it was not held");
    let former = CredentialVersion::new(&Surroundings, &Surroundings)?;
    must!(unit.credentials().hold(user.id, former).await?.is_none(), "a former password was held");
    Ok(())
}

/// While one unit holds a user, another does not change them.
pub async fn what_is_held_stays_until_the_unit_ends(store: Arc<dyn Store>) -> Outcome {
    let user = stored_user(&*store).await?;
    let mut holder = store.write().await?;
    must!(holder.users().hold(user.id).await?.is_some(), "the user was not held");

    let changed = Arc::new(AtomicBool::new(false));
    let (flag, other, id) = (Arc::clone(&changed), Arc::clone(&store), user.id);
    let changer = tokio::spawn(async move {
        let mut unit = other.write().await?;
        unit.users().rename(id, None, after(9)).await?;
        flag.store(true, Ordering::SeqCst);
        unit.commit().await
    });
    for _ in 0..CROWD {
        tokio::task::yield_now().await;
        let seen = holder.users().find(user.id).await?;
        must!(seen.as_ref() == Some(&user), "the held user changed");
        must!(!changed.load(Ordering::SeqCst), "another unit changed what was held");
    }
    holder.commit().await?;
    changer.await.map_err(|error| Violation::Broken(error.to_string()))??;
    let seen = store.read().await?.users().find(user.id).await?;
    must!(seen.is_some_and(|user| user.updated_at == after(9)), "the waiting unit's change was lost");
    Ok(())
}

/// Of many logins that upgrade one hash at once, one does.
pub async fn a_hash_is_upgraded_once(store: Arc<dyn Store>) -> Outcome {
    let user = stored_user(&*store).await?;
    let old = credential(&user)?;
    let mut unit = store.write().await?;
    unit.credentials().insert(&old).await?;
    unit.commit().await?;
    let (writer, id, hash) = (Arc::clone(&store), user.id, old.hash.clone());
    let upgraded = crowd(move |n| {
        let (store, old) = (Arc::clone(&writer), hash.clone());
        async move {
            let new = PasswordHashString::new(format!("$argon2id$new{n}"));
            let mut unit = store.write().await?;
            let happened = unit.credentials().upgrade_hash(id, &old, &new).await?;
            unit.commit().await?;
            Ok(happened)
        }
    })
    .await?;
    must!(count_true(&upgraded) == 1, "the hash was upgraded {} times", count_true(&upgraded));
    let found = store.read().await?.credentials().find_by_address(&user.email).await?;
    let unchanged = found.is_some_and(|(_, found)| found.version == old.version && found.hash != old.hash);
    must!(unchanged, "an upgrade is the same setting of the password with another hash");
    Ok(())
}

async fn find(store: &dyn Store, id: UserId) -> Result<Option<PasswordCredential>, StoreError> {
    store.read().await?.credentials().find(id).await
}

/// Whether both are the same setting of the same user's password, with the same hash.
fn same(found: Option<&PasswordCredential>, expected: &PasswordCredential) -> bool {
    found.is_some_and(|found| {
        found.user_id == expected.user_id && found.version == expected.version && found.hash == expected.hash
    })
}

/// Setting a password adds the first one, replaces one that is there, and forgets its failed log-ins.
pub async fn a_password_is_set_whether_or_not_there_was_one(store: Arc<dyn Store>) -> Outcome {
    let user = stored_user(&*store).await?;
    must!(find(&*store, user.id).await?.is_none(), "a user without a password has one");
    let first = credential(&user)?;
    let second = PasswordCredential { hash: PasswordHashString::new("$argon2id$new".to_owned()), ..credential(&user)? };
    for password in [&first, &second] {
        let mut unit = store.write().await?;
        unit.credentials().set(password).await?;
        unit.commit().await?;
        must!(same(find(&*store, user.id).await?.as_ref(), password), "the password that was set is another");

        let mut unit = store.write().await?;
        must!(unit.credentials().take_failures(user.id).await? == 0, "a new password has failed log-ins");
        unit.credentials().note_failure(user.id).await?;
        unit.commit().await?;
    }
    let mut unit = store.write().await?;
    must!(unit.credentials().hold(user.id, first.version).await?.is_none(), "a replaced password was held");
    must!(unit.credentials().hold(user.id, second.version).await?.is_some(), "the password that was set was not held");
    Ok(())
}

/// The password of an account is taken away by its address, in any spelling, only while nobody has shown that it is
/// theirs: neither by a verified address nor by a device.
pub async fn only_an_unclaimed_password_is_removed_by_address(store: Arc<dyn Store>) -> Outcome {
    let unclaimed = user()?;
    let verified = User { email_verified_at: Some(NOW), ..user()? };
    let disabled = User { disabled_at: Some(NOW), ..user()? };
    let used = user()?;
    let mut before = Vec::new();
    let mut unit = store.write().await?;
    for user in [&unclaimed, &verified, &disabled, &used] {
        let credential = credential(user)?;
        unit.users().insert_new(user).await?;
        unit.credentials().insert(&credential).await?;
        before.push(credential);
    }
    unit.sessions().note_device(used.id, [7; 32], NOW).await?;
    unit.commit().await?;

    let nobody = address("nobody@example.com")?;
    for (what, email, expected) in [
        ("a verified address", &verified.email, false),
        ("a disabled account", &disabled.email, false),
        ("a user with a device", &used.email, false),
        ("an unknown address", &nobody, false),
        ("an unclaimed account", &address(&unclaimed.email.as_str().to_uppercase())?, true),
    ] {
        let mut unit = store.write().await?;
        let removed = unit.credentials().remove_unverified(email).await?;
        unit.commit().await?;
        must!(removed == expected, "the password of {what} was removed: {removed}");
    }
    for former in &before {
        let kept = same(find(&*store, former.user_id).await?.as_ref(), former);
        must!(kept == (former.user_id != unclaimed.id), "the password of {} is kept: {kept}", former.user_id);
    }
    Ok(())
}

/// Without a password no password is the right one, and another can be set.
pub async fn a_removed_password_is_no_password(store: Arc<dyn Store>) -> Outcome {
    let (user, stranger) = (stored_user(&*store).await?, stored_user(&*store).await?);
    let (theirs, strangers) = (credential(&user)?, credential(&stranger)?);
    let mut unit = store.write().await?;
    unit.credentials().insert(&theirs).await?;
    unit.credentials().insert(&strangers).await?;
    unit.commit().await?;
    for _ in 0..2 {
        let mut unit = store.write().await?;
        unit.credentials().remove(user.id).await?;
        unit.commit().await?;
        let mut unit = store.write().await?;
        must!(unit.credentials().find(user.id).await?.is_none(), "a removed password was found");
        must!(unit.credentials().find_by_address(&user.email).await?.is_none(), "a removed password can be used");
        must!(unit.credentials().hold(user.id, theirs.version).await?.is_none(), "a removed password was held");
        must!(unit.users().find(user.id).await?.is_some(), "the user went with the password");
    }
    must!(same(find(&*store, stranger.id).await?.as_ref(), &strangers), "a stranger lost their password");
    let mut unit = store.write().await?;
    unit.credentials().insert(&theirs).await?;
    unit.commit().await?;
    must!(same(find(&*store, user.id).await?.as_ref(), &theirs), "no password can follow a removed one");
    Ok(())
}

/// Every wrong password is counted, however many at once, and reported once.
pub async fn every_failed_login_is_reported_once(store: Arc<dyn Store>) -> Outcome {
    let (user, stranger) = (stored_user(&*store).await?, stored_user(&*store).await?);
    let mut unit = store.write().await?;
    unit.credentials().insert(&credential(&user)?).await?;
    unit.credentials().insert(&credential(&stranger)?).await?;
    let nobody = UserId::new(&Surroundings, &Surroundings)?;
    unit.credentials().note_failure(nobody).await?;
    must!(unit.credentials().take_failures(nobody).await? == 0, "failures of nobody were counted");
    must!(unit.credentials().take_failures(user.id).await? == 0, "failures were counted before there were any");
    unit.commit().await?;

    let (writer, id) = (Arc::clone(&store), user.id);
    crowd(move |_| {
        let store = Arc::clone(&writer);
        async move {
            let mut unit = store.write().await?;
            unit.credentials().note_failure(id).await?;
            unit.commit().await
        }
    })
    .await?;
    let writer = Arc::clone(&store);
    let taken = crowd(move |_| {
        let store = Arc::clone(&writer);
        async move {
            let mut unit = store.write().await?;
            let taken = unit.credentials().take_failures(id).await?;
            unit.commit().await?;
            Ok(taken)
        }
    })
    .await?;
    let sum: u64 = taken.into_iter().map(u64::from).sum();
    must!(sum == CROWD as u64, "{sum} of {CROWD} failures were reported");

    let mut unit = store.write().await?;
    unit.credentials().note_failure(user.id).await?;
    must!(unit.credentials().take_failures(user.id).await? == 1, "a failure after the report was not counted alone");
    must!(unit.credentials().take_failures(stranger.id).await? == 0, "a stranger's failures were counted");
    Ok(())
}
