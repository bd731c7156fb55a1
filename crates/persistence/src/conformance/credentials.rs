//! Passwords.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use doorward_domain::{CredentialVersion, PasswordHashString, Store, StoreError};

use super::{
    CROWD, Outcome, Surroundings, Violation, address, after, count_true, credential, crowd, must, stored_user,
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
