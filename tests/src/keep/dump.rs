//! A service's database as text.

use std::fmt::Write as _;
use std::io::Write as _;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};

use crate::{Database, postgres};

/// Keeps a dump of a database. Why it could not be dumped is kept where a test has taken it away.
pub(crate) fn database(database: Database, url: &str, schema: &str) {
    let Some(folder) = super::folder() else { return };
    // A service can be dropped inside of a runtime, which must not be blocked by another.
    let text = std::thread::scope(|scope| {
        let dump = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                match database {
                    Database::Sqlite => sqlite(url).await,
                    Database::Postgres => postgres(schema).await,
                }
            })
        });
        dump.join().unwrap()
    });
    let (ending, text) = match (database, text) {
        (Database::Sqlite, Ok(text)) if !text.is_empty() => ("sqlite.dump", text),
        (Database::Postgres, Ok(text)) if !text.is_empty() => ("postgres.dump", text),
        (_, Ok(_)) => ("failed", format!("{database:?}: nothing in it\n")),
        (_, Err(error)) => ("failed", format!("{database:?}: {error}\n")),
    };
    super::fresh(folder, ending).write_all(text.as_bytes()).unwrap();
}

/// Every value on a line of its own: as text whatever it is, and blobs in hex as well.
async fn sqlite(url: &str) -> Result<String, sqlx::Error> {
    let mut connection = SqliteConnection::connect(url).await?;
    let columns: Vec<(String, String)> = sqlx::query_as(
        "SELECT t.name, c.name FROM sqlite_master t JOIN pragma_table_info(t.name) c WHERE t.type = 'table' \
         ORDER BY t.name, c.cid",
    )
    .fetch_all(&mut connection)
    .await?;
    let mut text = String::new();
    for (table, column) in columns {
        let statement = format!(r#"SELECT typeof("{column}"), CAST("{column}" AS BLOB) FROM "{table}""#);
        let values: Vec<(String, Option<Vec<u8>>)> =
            sqlx::query_as(AssertSqlSafe(statement)).fetch_all(&mut connection).await?;
        for (kind, value) in values {
            let value = value.unwrap_or_default();
            write!(text, "{table}.{column}: {}", String::from_utf8_lossy(&value)).unwrap();
            if kind == "blob" {
                text.push_str(" = ");
                for byte in &value {
                    write!(text, "{byte:02x}").unwrap();
                }
            }
            text.push('\n');
        }
    }
    Ok(text)
}

/// Every row on a line of its own, blobs in hex. As the superuser, since policies hide rows from others.
async fn postgres(schema: &str) -> Result<String, sqlx::Error> {
    let mut connection = PgConnection::connect(&postgres::superuser_url()).await?;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = $1 ORDER BY tablename",
    )
    .bind(schema)
    .fetch_all(&mut connection)
    .await?;
    let mut text = String::new();
    for table in tables {
        let rows: Vec<Option<String>> = sqlx::query_scalar(AssertSqlSafe(format!("SELECT t::text FROM {table} t")))
            .fetch_all(&mut connection)
            .await?;
        for row in rows.into_iter().flatten() {
            writeln!(text, "{table}: {row}").unwrap();
        }
    }
    Ok(text)
}
