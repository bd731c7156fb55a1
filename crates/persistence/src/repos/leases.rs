//! Tables whose rows are worked on under a lease: what is the same for mails and for webhooks.

use doorward_domain::{StoreError, Timestamp};
use uuid::Uuid;

use super::column;
use crate::dialect::{Dialect, Statement, moment};

/// The statements of one such table, from [`leased_table!`].
pub(super) struct LeasedTable {
    pub(super) lease: Either,
    pub(super) hold: Either,
    pub(super) finish: &'static str,
    pub(super) postpone: &'static str,
    pub(super) requeue: &'static str,
    pub(super) remove: &'static str,
}

/// A statement where rows have to be locked, and one where not.
pub(super) type Either = (&'static str, &'static str);

/// The statements of a table. Of what is due, those rows are leased that the condition names, in which `$1` is the moment
/// and `$4` is for the table's own use; they are read with these columns.
macro_rules! leased_table {
    ($table:literal, $condition:expr, $columns:expr) => {
        $crate::repos::leases::LeasedTable {
            lease: (
                leased_table!(@lease $table, $condition, $columns, " FOR UPDATE SKIP LOCKED"),
                leased_table!(@lease $table, $condition, $columns, ""),
            ),
            hold: (
                concat!("SELECT id FROM ", $table, " WHERE id = $1 AND locked_until = $2 FOR UPDATE"),
                concat!("SELECT id FROM ", $table, " WHERE id = $1 AND locked_until = $2"),
            ),
            finish: concat!("DELETE FROM ", $table, " WHERE id = $1 AND locked_until = $2"),
            postpone: concat!(
                "UPDATE ",
                $table,
                " SET locked_until = NULL, due_at = $3, attempts = $4, last_error = $5 \
                 WHERE id = $1 AND locked_until = $2"
            ),
            requeue: concat!(
                "UPDATE ",
                $table,
                " SET due_at = $2, attempts = 0, locked_until = NULL \
                 WHERE id = $1 AND (locked_until IS NULL OR locked_until <= $2)"
            ),
            remove: concat!(
                "DELETE FROM ",
                $table,
                " WHERE id = $1 AND (locked_until IS NULL OR locked_until <= $2)"
            ),
        }
    };
    (@lease $table:literal, $condition:expr, $columns:expr, $locking:literal) => {
        concat!(
            // Materialized, since PostgreSQL may run a sub-select twice and then lock more than the limit.
            "WITH due AS MATERIALIZED (SELECT id FROM ",
            $table,
            " WHERE ",
            $condition,
            " AND due_at <= $1 AND (locked_until IS NULL OR locked_until <= $1) ORDER BY due_at, id LIMIT $3",
            $locking,
            ") UPDATE ",
            $table,
            " SET locked_until = $2 WHERE id IN (SELECT id FROM due) RETURNING due_at, ",
            $columns
        )
    };
}
pub(super) use leased_table;

impl LeasedTable {
    /// The statement that leases up to `limit` rows, for the table's own parameter to be added.
    pub(super) fn lease<D: Dialect>(&self, now: Timestamp, until: Timestamp, limit: u32) -> Statement<D> {
        Statement::holding(self.lease.0, self.lease.1)
            .bind(now.unix_micros())
            .bind(until.unix_micros())
            .bind(i64::from(limit))
    }

    pub(super) async fn hold_lease<D: Dialect>(
        &self,
        connection: &mut D::Connection,
        id: Uuid,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let statement = Statement::<D>::holding(self.hold.0, self.hold.1).bind(id).bind(until.unix_micros());
        Ok(statement.fetch_optional(connection).await?.is_some())
    }

    pub(super) async fn finish<D: Dialect>(
        &self,
        connection: &mut D::Connection,
        id: Uuid,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        Statement::<D>::new(self.finish).bind(id).bind(until.unix_micros()).happened(connection).await
    }

    pub(super) async fn postpone<D: Dialect>(
        &self,
        connection: &mut D::Connection,
        (id, until): (Uuid, Timestamp),
        due_at: Option<Timestamp>,
        attempts: u32,
        error: &str,
    ) -> Result<bool, StoreError> {
        Statement::<D>::new(self.postpone)
            .bind(id)
            .bind(until.unix_micros())
            .bind(due_at.map(Timestamp::unix_micros))
            .bind(i64::from(attempts))
            .bind(error.to_owned())
            .happened(connection)
            .await
    }

    pub(super) async fn requeue<D: Dialect>(
        &self,
        connection: &mut D::Connection,
        id: Uuid,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        Statement::<D>::new(self.requeue).bind(id).bind(now.unix_micros()).happened(connection).await
    }

    pub(super) async fn remove<D: Dialect>(
        &self,
        connection: &mut D::Connection,
        id: Uuid,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        Statement::<D>::new(self.remove).bind(id).bind(now.unix_micros()).happened(connection).await
    }
}

/// What leased rows hold, in the order in which they became due.
pub(super) fn leased<D: Dialect, T>(
    rows: &[D::Row],
    read: impl Fn(&D::Row) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let due = |row: &D::Row| Ok(((moment::<D>(row, "due_at")?, column::<D, Uuid>(row, "id")?), read(row)?));
    let mut items = rows.iter().map(due).collect::<Result<Vec<_>, StoreError>>()?;
    items.sort_unstable_by_key(|(order, _)| *order);
    Ok(items.into_iter().map(|(_, item)| item).collect())
}
