use doorward_domain::OwnerScope;
use sqlx::{AssertSqlSafe, Postgres, Row as _};

use super::{Outcome, Violation, must};
use crate::error::store_error;
use crate::{OwnedStore, OwnedUnit};

/// An owned table of PostgreSQL keeps its rows from everybody but their owner by itself, whatever a statement asks for.
/// For the tests of any owned table; both users need a row in it.
pub async fn a_table_keeps_its_rows_to_their_owners(
    store: &OwnedStore<Postgres>,
    table: &'static str,
    own: &OwnerScope,
    other: &OwnerScope,
) -> Outcome {
    let mine = count(store, table, own, "").await?;
    must!(mine > 0 && count(store, table, other, "").await? > 0, "both users need a row in {table}");
    let seen = count(store, table, other, &format!("WHERE owner_id <> '{}'", other.owner())).await?;
    must!(seen == 0, "{table}: {seen} rows of others were seen");
    for act in ["DELETE FROM", "UPDATE"] {
        let tail = if act == "UPDATE" { " SET owner_id = owner_id" } else { "" };
        let mut unit = store.write(other).await?;
        let touched = execute(&mut unit, format!("{act} {table}{tail}")).await.map_err(store_error)?;
        drop(unit);
        let theirs = count(store, table, other, "").await?;
        must!(touched == theirs, "{act} touched {touched} rows of {table}, of which {theirs} were the user's");
    }
    let mut unit = store.write(other).await?;
    let given = execute(&mut unit, format!("UPDATE {table} SET owner_id = '{}'", own.owner())).await;
    must!(given.is_err(), "{table}: a row was given to somebody else");
    Ok(())
}

async fn count(
    store: &OwnedStore<Postgres>,
    table: &str,
    scope: &OwnerScope,
    condition: &str,
) -> Result<u64, Violation> {
    let mut unit = store.read(scope).await?;
    let sql = format!("SELECT count(*) AS n FROM {table} {condition}");
    let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(unit.connection()).await.map_err(store_error)?;
    let n: i64 = row.try_get("n").map_err(store_error)?;
    Ok(n.unsigned_abs())
}

async fn execute(unit: &mut OwnedUnit<Postgres>, sql: String) -> Result<u64, sqlx::Error> {
    Ok(sqlx::query(AssertSqlSafe(sql)).execute(unit.connection()).await?.rows_affected())
}
