//! Accounts.

use std::sync::Arc;

use doorward_domain::{DisplayName, EmailAddress, Store, StoreError, Timestamp, User, UserId};

use super::{CROWD, NOW, Outcome, Surroundings, address, after, count_true, crowd, must, stored_user, user};

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
