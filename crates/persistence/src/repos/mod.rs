//! The repositories, each statement next to the method that runs it and valid in both dialects.

mod credentials;
mod events;
mod keys;
mod leases;
mod one_time_tokens;
mod outbox;
mod proofs;
mod revocations;
mod sealed_page;
mod sessions;
mod throttles;
mod users;
mod webhooks;

use doorward_domain::{StoreError, Timestamp};

use crate::dialect::{Gives, column, moment};
use crate::error::corrupt;

fn optional_moment<D: Gives<Option<i64>>>(row: &D::Row, name: &'static str) -> Result<Option<Timestamp>, StoreError> {
    Ok(column::<D, Option<i64>>(row, name)?.map(Timestamp::from_unix_micros))
}

/// A list of words, as JSON.
fn words<D: Gives<String>>(row: &D::Row, name: &'static str) -> Result<Vec<String>, StoreError> {
    serde_json::from_str(&column::<D, String>(row, name)?).map_err(corrupt(name))
}

fn words_to_json(words: &[String]) -> String {
    serde_json::Value::from(words).to_string()
}
