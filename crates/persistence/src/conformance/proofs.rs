//! Proofs of work.

use std::sync::Arc;

use doorward_domain::{ProofId, Store, StoreError, Timestamp};

use super::{CROWD, Outcome, after, count_true, crowd, must};

const fn proof(n: u8) -> ProofId {
    ProofId::from_bytes([n; ProofId::LENGTH])
}

async fn spend(store: &dyn Store, id: ProofId, expires_at: Timestamp) -> Result<bool, StoreError> {
    let mut unit = store.write().await?;
    let spent = unit.proofs().spend(&id, expires_at).await?;
    unit.commit().await?;
    Ok(spent)
}

/// Of a crowd with one proof, one spends it. Another proof is not touched by that.
pub async fn a_proof_is_spent_once(store: Arc<dyn Store>) -> Outcome {
    for n in [1, 2] {
        let writer = Arc::clone(&store);
        let spent = crowd(move |_| {
            let store = Arc::clone(&writer);
            async move { spend(&*store, proof(n), after(300)).await }
        })
        .await?;
        must!(count_true(&spent) == 1, "{} of {CROWD} spent proof {n}", count_true(&spent));
    }
    must!(!spend(&*store, proof(1), after(900)).await?, "a spent proof was spent again");
    Ok(())
}

/// A proof that was spent in a unit that was dropped can still be spent.
pub async fn a_proof_that_was_not_committed_is_not_spent(store: Arc<dyn Store>) -> Outcome {
    let mut dropped = store.write().await?;
    must!(dropped.proofs().spend(&proof(1), after(300)).await?, "a fresh proof was not spent");
    drop(dropped);
    must!(spend(&*store, proof(1), after(300)).await?, "a unit that was dropped spent a proof");
    Ok(())
}

/// Proofs that have expired are forgotten in batches; others stay spent.
pub async fn expired_proofs_are_forgotten_in_batches(store: Arc<dyn Store>) -> Outcome {
    for n in 0..3 {
        must!(spend(&*store, proof(n), after(9)).await?, "a fresh proof was not spent");
    }
    must!(spend(&*store, proof(3), after(10)).await?, "a fresh proof was not spent");
    let mut batches = Vec::new();
    for _ in 0..3 {
        let mut unit = store.write().await?;
        batches.push(unit.proofs().forget(after(10), 2).await?);
        unit.commit().await?;
    }
    must!(batches == [2, 1, 0], "batches of {batches:?} were forgotten");
    must!(!spend(&*store, proof(3), after(10)).await?, "a proof was forgotten before it expired");
    must!(spend(&*store, proof(0), after(9)).await?, "a forgotten proof is still there");
    Ok(())
}
