//! Units of work: all or nothing, and reading is only reading.

use std::sync::Arc;

use doorward_domain::Store;

use super::{Outcome, credential, must, user};

/// A unit that is not committed did nothing, whatever it did.
pub async fn a_unit_that_is_dropped_leaves_no_trace(store: Arc<dyn Store>) -> Outcome {
    let user = user()?;
    let mut unit = store.write().await?;
    unit.users().insert_new(&user).await?;
    unit.credentials().insert(&credential(&user)?).await?;
    must!(unit.users().find(user.id).await?.is_some(), "a unit does not see its own work");
    drop(unit);
    must!(store.read().await?.users().find(user.id).await?.is_none(), "a dropped unit left a user");
    Ok(())
}

/// A read unit refuses to write, or what it wrote is gone with it.
pub async fn a_read_unit_changes_nothing(store: Arc<dyn Store>) -> Outcome {
    let user = user()?;
    let mut unit = store.read().await?;
    must!(unit.users().insert_new(&user).await.is_err(), "a read unit took a write");
    drop(unit);
    must!(store.read().await?.users().find(user.id).await?.is_none(), "a read unit left a user");
    Ok(())
}
