use std::time::Duration;

use async_trait::async_trait;
use doorward_domain::store::{Taken, ThrottleKey, ThrottleRepo};
use doorward_domain::{GuessPolicy, Rate, StoreError, Timestamp};

use super::{column, moment};
use crate::dialect::{Dialect, Statement};
use crate::unit::Unit;

// What is free waits for nothing, or one of two at the same moment would be refused whose clock was read first.
// The delay doubles with each guess until it is the longest; the last parameter but one says after how many that is.
const BEGIN_GUESS: &str = "INSERT INTO password_guesses AS g (key, guesses, next_at, last_at, kept) \
     VALUES ($1, 1, $2, $3, $4) ON CONFLICT (key) DO UPDATE SET guesses = g.guesses + 1, last_at = $3, \
     kept = (g.kept OR excluded.kept), next_at = $3 + CASE WHEN g.guesses + 1 < $5 THEN 0 \
     WHEN g.guesses + 1 - $5 >= $8 THEN $7 \
     ELSE $6 * (CAST(1 AS bigint) << CAST(g.guesses + 1 - $5 AS integer)) END \
     WHERE (g.next_at <= $3 OR g.guesses < $5) AND g.guesses < $9";

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[async_trait]
impl<D: Dialect> ThrottleRepo for Unit<D> {
    async fn take(&mut self, key: &ThrottleKey, rate: Rate, now: Timestamp) -> Result<Taken, StoreError> {
        let taken = Statement::<D>::new(
            "INSERT INTO throttles AS t (key, full_at) VALUES ($1, $2 + $3) ON CONFLICT (key) DO UPDATE SET \
             full_at = CASE WHEN t.full_at > $2 THEN t.full_at ELSE $2 END + $3 WHERE t.full_at <= $4",
        )
        .bind(key.as_bytes().to_vec())
        .bind(now.unix_micros())
        .bind(micros(rate.interval()))
        .bind(now.plus(rate.window()).minus(rate.interval()).unix_micros())
        .happened(self.connection())
        .await?;
        if taken {
            return Ok(Taken::Yes);
        }
        let row = Statement::<D>::new("SELECT full_at FROM throttles WHERE key = $1")
            .bind(key.as_bytes().to_vec())
            .fetch_optional(self.connection())
            .await?;
        let full_at = row.map_or(Ok(now), |row| moment::<D>(&row, "full_at"))?;
        Ok(Taken::NotBefore(full_at.plus(rate.interval()).minus(rate.window())))
    }

    async fn give_back(&mut self, key: &ThrottleKey, rate: Rate) -> Result<(), StoreError> {
        Statement::<D>::new("UPDATE throttles SET full_at = full_at - $2 WHERE key = $1")
            .bind(key.as_bytes().to_vec())
            .bind(micros(rate.interval()))
            .execute(self.connection())
            .await?;
        Ok(())
    }

    async fn begin_guess(
        &mut self,
        key: &ThrottleKey,
        policy: &GuessPolicy,
        kept: bool,
        now: Timestamp,
    ) -> Result<Taken, StoreError> {
        let taken = Statement::<D>::new(BEGIN_GUESS)
            .bind(key.as_bytes().to_vec())
            .bind(now.plus(policy.delay_after(1)).unix_micros())
            .bind(now.unix_micros())
            .bind(kept)
            .bind(i64::from(policy.free))
            .bind(micros(policy.first_delay))
            .bind(micros(policy.longest_delay))
            .bind(i64::from(policy.doublings()))
            .bind(i64::from(policy.most))
            .happened(self.connection())
            .await?;
        if taken {
            return Ok(Taken::Yes);
        }
        let row = Statement::<D>::new("SELECT guesses, next_at FROM password_guesses WHERE key = $1")
            .bind(key.as_bytes().to_vec())
            .fetch_optional(self.connection())
            .await?;
        let Some(row) = row else { return Ok(Taken::NotBefore(now)) };
        // After the last guess no time helps; who asks learns no more than that it is long.
        let spent = column::<D, i64>(&row, "guesses")? >= i64::from(policy.most);
        let next_at = moment::<D>(&row, "next_at")?;
        Ok(Taken::NotBefore(if spent { next_at.max(now.plus(policy.longest_delay)) } else { next_at }))
    }

    async fn take_back_guess(&mut self, key: &ThrottleKey, now: Timestamp) -> Result<(), StoreError> {
        Statement::<D>::new(
            "UPDATE password_guesses SET guesses = guesses - 1, next_at = $2 WHERE key = $1 AND guesses > 0",
        )
        .bind(key.as_bytes().to_vec())
        .bind(now.unix_micros())
        .execute(self.connection())
        .await?;
        Ok(())
    }

    async fn clear_guesses(&mut self, key: &ThrottleKey) -> Result<(), StoreError> {
        Statement::<D>::new("DELETE FROM password_guesses WHERE key = $1")
            .bind(key.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    async fn guesses(&mut self, key: &ThrottleKey) -> Result<u32, StoreError> {
        let row = Statement::<D>::new("SELECT guesses FROM password_guesses WHERE key = $1")
            .bind(key.as_bytes().to_vec())
            .fetch_optional(self.connection())
            .await?;
        let guesses = row.map_or(Ok(0), |row| column::<D, i64>(&row, "guesses"))?;
        Ok(u32::try_from(guesses).unwrap_or(u32::MAX))
    }

    async fn forget(&mut self, now: Timestamp, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let rates = Statement::<D>::new(
            "DELETE FROM throttles WHERE key IN (SELECT key FROM throttles WHERE full_at <= $1 LIMIT $2) AND full_at <= $1",
        )
        .bind(now.unix_micros())
        .bind(i64::from(limit))
        .execute(self.connection())
        .await?;
        let guesses = Statement::<D>::new(
            "DELETE FROM password_guesses WHERE key IN \
             (SELECT key FROM password_guesses WHERE last_at < $1 AND NOT kept LIMIT $2) AND last_at < $1 AND NOT kept",
        )
        .bind(before.unix_micros())
        .bind(i64::from(limit))
        .execute(self.connection())
        .await?;
        Ok(rates.max(guesses))
    }
}
