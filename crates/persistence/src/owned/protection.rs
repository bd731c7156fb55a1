use doorward_domain::StoreError;
use sqlx::{PgConnection, Row as _};
use thiserror::Error;

use crate::error::store_error;

/// The statements that keep the rows of an owned PostgreSQL table from everybody but their owner, as one literal: for a
/// migration, or for `sqlx::raw_sql`. The column with the owner is a `uuid` called `owner_id`. They may run again.
///
/// They fail when the role that runs them may bypass policies, since they would protect nothing.
///
/// ```
/// const PROTECT_NOTES: &str = doorward_persistence::protect_sql!("notes");
/// assert!(PROTECT_NOTES.contains("ALTER TABLE notes FORCE ROW LEVEL SECURITY"));
/// ```
#[macro_export]
macro_rules! protect_sql {
    ($table:literal) => {
        concat!(
            "DO $$ BEGIN IF (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user) THEN \
             RAISE EXCEPTION 'the role % may bypass row-level security, so it cannot protect the table ",
            $table,
            "', current_user; END IF; END $$;\n",
            "ALTER TABLE ",
            $table,
            " ENABLE ROW LEVEL SECURITY;\n",
            // Upon the table's owner as well, who is exempt otherwise.
            "ALTER TABLE ",
            $table,
            " FORCE ROW LEVEL SECURITY;\n",
            "DROP POLICY IF EXISTS doorward_owner ON ",
            $table,
            ";\n",
            // A sub-select is evaluated once for a statement and not for each row. Without an owner it is NULL, and so
            // nothing is anybody's. What is written has to satisfy it as well.
            "CREATE POLICY doorward_owner ON ",
            $table,
            " USING (owner_id = (SELECT nullif(current_setting('doorward.owner', true), '')::uuid));\n",
        )
    };
}

/// Why an owned table does not keep its rows from everybody but their owner.
#[derive(Debug, Error)]
pub enum ProtectionError {
    /// Policies do not hold for the role.
    #[error(
        "the PostgreSQL role `{role}` may bypass row-level security (it is a superuser or has BYPASSRLS); use a role \
         of the service's own that owns its tables and is neither"
    )]
    Bypassed {
        /// Its name.
        role: String,
    },
    /// The table lacks something that protects it.
    #[error("the table `{table}` is not protected: {lack}")]
    Unprotected {
        /// Its name.
        table: String,
        /// What it lacks.
        lack: &'static str,
    },
    /// A setting of the role, the database or the server takes the policies' meaning away.
    #[error("the PostgreSQL setting `{setting}` must not be set for the role or the database")]
    Setting {
        /// Its name.
        setting: &'static str,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

const ROLE: &str = "SELECT current_user::text AS role, (rolsuper OR rolbypassrls) AS bypasses, \
     coalesce(current_setting('doorward.owner', true), '') <> '' AS owner_is_set, \
     current_setting('row_security') <> 'on' AS security_is_off \
     FROM pg_roles WHERE rolname = current_user";

// The one policy is written by `protect_sql!`; as PostgreSQL gives it back, it begins with the comparison and names the
// setting. Any other permissive policy would widen it.
const TABLES: &str = "SELECT c.relname::text AS name, c.relrowsecurity AS enabled, c.relforcerowsecurity AS forced, \
     (SELECT count(*) FROM pg_policy p WHERE p.polrelid = c.oid AND p.polpermissive) AS policies, \
     (SELECT count(*) FROM pg_policy p WHERE p.polrelid = c.oid AND p.polpermissive AND p.polname = 'doorward_owner' \
      AND p.polcmd = '*' AND p.polroles = '{0}' AND p.polwithcheck IS NULL \
      AND pg_get_expr(p.polqual, p.polrelid) ~ \
      '^\\(owner_id = \\( *SELECT \\(NULLIF\\(current_setting\\(''doorward\\.owner''::text, true\\), ''''::text\\)\\)::uuid( AS \"nullif\")?\\)\\)$') \
     AS sound, \
     (SELECT count(*) = 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'owner_id' \
      AND a.atttypid = 'pg_catalog.uuid'::regtype AND NOT a.attisdropped) AS owned, \
     has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT') \
     AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE') AS usable \
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') AND (c.relname::text = ANY($1) OR EXISTS \
     (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'owner_id' AND NOT a.attisdropped)) \
     ORDER BY c.relname";

/// Looks at the role that the connection has.
pub(super) async fn check_role(connection: &mut PgConnection) -> Result<(), ProtectionError> {
    let role = sqlx::query(ROLE).fetch_one(connection).await.map_err(store_error)?;
    if role.try_get("bypasses").map_err(store_error)? {
        return Err(ProtectionError::Bypassed { role: role.try_get("role").map_err(store_error)? });
    }
    // Nobody is an owner before a unit says so.
    for (column, setting) in [("owner_is_set", "doorward.owner"), ("security_is_off", "row_security")] {
        if role.try_get(column).map_err(store_error)? {
            return Err(ProtectionError::Setting { setting });
        }
    }
    Ok(())
}

/// Looks at the tables named, and at every other table of the schema with an owner.
pub(super) async fn check(connection: &mut PgConnection, tables: &[&str]) -> Result<(), ProtectionError> {
    check_role(connection).await?;
    let names: Vec<String> = tables.iter().map(|&table| table.to_owned()).collect();
    let rows = sqlx::query(TABLES).bind(names).fetch_all(connection).await.map_err(store_error)?;
    let mut found = Vec::new();
    for row in rows {
        let table: String = row.try_get("name").map_err(store_error)?;
        let is = |name| row.try_get::<bool, _>(name).map_err(store_error);
        let count = |name| row.try_get::<i64, _>(name).map_err(store_error);
        let lack = if !is("owned")? {
            Some("it lacks a column `owner_id` of the type uuid")
        } else if !is("usable")? {
            Some("the role may not read and write it")
        } else if !is("enabled")? {
            Some("row-level security is not enabled")
        } else if !is("forced")? {
            Some("row-level security is not forced upon its owner")
        } else if count("sound")? != 1 {
            Some("it lacks the policy that `protect_sql!` makes")
        } else if count("policies")? != 1 {
            Some("another policy widens who may reach its rows")
        } else {
            None
        };
        if let Some(lack) = lack {
            return Err(ProtectionError::Unprotected { table, lack });
        }
        found.push(table);
    }
    match tables.iter().find(|&&table| !found.iter().any(|found| found == table)) {
        Some(&table) => Err(ProtectionError::Unprotected { table: table.to_owned(), lack: "there is no such table" }),
        None => Ok(()),
    }
}
