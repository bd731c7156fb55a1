//! The loops that drive the use cases which nobody asks for. Each repeats one step, on every node; what only one node
//! may do at a time is seen to by the step.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use doorward_auth::token::SigningKeys;
use doorward_auth::{Auth, Fault};

/// How often revocations are looked for. What another node revokes is known here within this and the time of a
/// statement, whether or not the database gives hints.
const LOOK: Duration = Duration::from_millis(300);
/// How long the database may take to answer before another connection is tried.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a database that cannot be listened to is left alone.
const NO_HINTS: Duration = Duration::from_secs(5);
/// How often the signing keys are looked after.
const KEYS: Duration = Duration::from_mins(1);
/// How often it is written down which sessions were used.
const SEEN: Duration = Duration::from_secs(15);
/// How often entries of the security log are looked for that wait to be sealed.
const SEAL: Duration = Duration::from_millis(500);
/// How often expired rows are looked for.
const CLEAN: Duration = Duration::from_mins(1);

pub(crate) async fn watch_revocations(auth: &Auth, keys: &SigningKeys) {
    // Connecting can wait until the first requests are answered: looking finds everything anyway.
    let mut hint: Pin<Box<dyn Future<Output = ()> + Send + '_>> = Box::pin(async {
        tokio::time::sleep(LOOK).await;
        hints(auth).await;
    });
    loop {
        let mut reload = false;
        match tokio::time::timeout(PATIENCE, auth.watch_revocations()).await {
            Ok(Ok(watched)) => reload = watched.keys_changed,
            Ok(Err(error)) => tracing::warn!(%error, "revocations could not be read"),
            Err(_) => tracing::warn!("revocations could not be read: the database does not answer"),
        }
        if reload {
            // What did not work is tried again when the keys are looked after.
            if let Err(error) = keys.reload().await {
                tracing::error!(%error, "the signing keys could not be loaded again");
            }
        }
        tokio::select! {
            () = &mut hint => hint = Box::pin(hints(auth)),
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Resolves with the next hint.
async fn hints(auth: &Auth) {
    loop {
        match auth.revocation_hint().await {
            Ok(()) => return,
            Err(error) => {
                tracing::debug!(%error, "the database cannot be listened to");
                tokio::time::sleep(NO_HINTS).await;
            }
        }
    }
}

pub(crate) async fn maintain_keys(keys: &SigningKeys) {
    // They were loaded a moment ago; the first requests go before.
    tokio::time::sleep(LOOK).await;
    loop {
        match keys.maintain().await {
            Ok(done) => {
                if let Some(id) = done.published {
                    tracing::info!(%id, "a signing key was published; it signs before long");
                }
                for id in done.retired {
                    tracing::info!(%id, "a signing key was retired");
                }
            }
            Err(error) => tracing::warn!(%error, "the signing keys could not be looked after"),
        }
        tokio::time::sleep(KEYS).await;
    }
}

pub(crate) async fn note_seen_sessions(auth: &Auth) {
    loop {
        tokio::time::sleep(SEEN).await;
        if let Err(error) = auth.note_seen_sessions().await {
            tracing::warn!(%error, "it could not be written down which sessions were used");
        }
    }
}

pub(crate) async fn clean_up(auth: &Auth, event_retention: Option<Duration>) {
    loop {
        match clean_up_once(auth, event_retention).await {
            Ok(true) => tokio::task::yield_now().await,
            Ok(false) => tokio::time::sleep(CLEAN).await,
            Err(error) => {
                tracing::warn!(%error, "cleaning up failed");
                tokio::time::sleep(CLEAN).await;
            }
        }
    }
}

/// Says whether there may be more.
async fn clean_up_once(auth: &Auth, event_retention: Option<Duration>) -> Result<bool, Fault> {
    let more = auth.clean_up().await?.more;
    match event_retention {
        Some(retention) => Ok(auth.forget_events(retention).await? || more),
        None => Ok(more),
    }
}

/// Seals what is written into the security log, within [`SEAL`] and the time of a batch, and writes what was only counted.
pub(crate) async fn seal_events(auth: &Auth) {
    loop {
        let sealed = async {
            auth.record_counted_refusals(false).await?;
            auth.seal_events().await
        };
        match sealed.await {
            Ok(true) => tokio::task::yield_now().await,
            Ok(false) => tokio::time::sleep(SEAL).await,
            Err(error) => {
                tracing::warn!(%error, "the security log could not be sealed");
                tokio::time::sleep(SEAL).await;
            }
        }
    }
}

/// Writes what was only counted, when the service ends.
pub(crate) async fn finish_events(auth: &Auth) {
    if let Err(error) = auth.record_counted_refusals(true).await {
        tracing::warn!(%error, "refusals that were only counted are lost");
    }
}
