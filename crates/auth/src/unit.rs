use std::future::Future;

use doorward_domain::StoreError;

use crate::Fault;

/// How often a unit of work that collides with others is tried before it counts as failed. Collisions are
/// rare (a deadlock, a busy SQLite file), so a unit that loses five times in a row faces something else.
const ATTEMPTS: u32 = 5;

/// Runs a whole unit of work, and runs it again while it collides with others.
///
/// `unit` opens the unit, does everything and commits, and so can be repeated from the start.
///
/// # Errors
///
/// The fault of the last attempt.
pub async fn retrying<T, F, Work>(mut unit: F) -> Result<T, Fault>
where
    F: FnMut() -> Work,
    Work: Future<Output = Result<T, Fault>>,
{
    let mut attempt = 1;
    loop {
        match unit().await {
            Err(Fault::Store(StoreError::Retryable(_))) if attempt < ATTEMPTS => attempt += 1,
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collision() -> Fault {
        Fault::Store(StoreError::Retryable("deadlock".into()))
    }

    #[pollster::test]
    async fn a_collision_is_tried_again_and_nothing_else_is() {
        let mut calls = 0;
        let outcome = retrying(|| {
            calls += 1;
            let result = if calls < 3 { Err(collision()) } else { Ok(calls) };
            async move { result }
        })
        .await;
        assert_eq!(outcome.unwrap(), 3);

        let mut calls = 0;
        let outcome: Result<(), _> = retrying(|| {
            calls += 1;
            async { Err(Fault::Store(StoreError::Unavailable("gone".into()))) }
        })
        .await;
        assert!(outcome.is_err());
        assert_eq!(calls, 1);
    }

    #[pollster::test]
    async fn endless_collisions_end() {
        let mut calls = 0;
        let outcome: Result<(), _> = retrying(|| {
            calls += 1;
            async { Err(collision()) }
        })
        .await;
        assert!(matches!(outcome, Err(Fault::Store(StoreError::Retryable(_)))));
        assert_eq!(calls, ATTEMPTS);
    }
}
