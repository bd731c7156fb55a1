//! Two layers keep a row from everybody but its owner, each of them alone, and it is noticed when either is missing.

use std::collections::BTreeSet;

use doorward::{SystemClock, SystemEntropy};
use doorward_domain::UserId;
use doorward_persistence::conformance::a_table_keeps_its_rows_to_their_owners;
use doorward_persistence::{OwnedStore, ProtectionError};
use doorward_tasks::conformance::{Stage, violated};
use doorward_tests::task_stage::{Policies, Statements, alter, forgetting, noting, on_postgres, on_sqlite};
use doorward_tests::{Database, Service, postgres, rounds};
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection as _, PgPool, Postgres};

mod on_sqlite_file {
    use doorward_tests::task_stage::on_sqlite;

    doorward_tasks::task_conformance_suite!(on_sqlite(None));
}

mod on_postgres_schema {
    use doorward_tests::task_stage::{Policies, on_postgres};

    doorward_tasks::task_conformance_suite!(async { on_postgres(Policies::Kept, None).await.0 });
}

/// Every statement of the repository that names the owner, as the suite runs them.
async fn statements() -> BTreeSet<&'static str> {
    let seen = Statements::default();
    let violated = violated(|| on_sqlite(Some(noting(&seen)))).await;
    assert!(violated.is_empty(), "{violated:?}");
    seen.lock().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_owner_is_made_good_by_the_policy_and_found_by_the_suite() {
    let statements = statements().await;
    assert_eq!(statements.len(), 7, "{statements:?}");
    for forgotten in statements {
        let careless = || Some(forgetting(forgotten));
        let with_policies = violated(async || on_postgres(Policies::Kept, careless()).await.0).await;
        assert!(with_policies.is_empty(), "the policies alone let through {with_policies:?}: {forgotten}");
        let without = violated(async || on_postgres(Policies::Removed, careless()).await.0).await;
        assert!(!without.is_empty(), "the suite does not notice on PostgreSQL: {forgotten}");
        let on_sqlite = violated(|| on_sqlite(careless())).await;
        assert_eq!(on_sqlite, without, "{forgotten}");
        println!("{without:?} without the owner in: {forgotten}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_statements_alone_keep_tasks_apart() {
    let violated = violated(async || on_postgres(Policies::Removed, None).await.0).await;
    assert!(violated.is_empty(), "{violated:?}");
}

async fn with_a_task_each(policies: Policies) -> (Stage, OwnedStore<Postgres>) {
    let (stage, store) = on_postgres(policies, None).await;
    for (n, scope) in [(1, &stage.own), (2, &stage.other)] {
        let content =
            doorward_tasks::TaskContent { title: doorward_tasks::Title::parse("a task").unwrap(), description: None };
        let id = doorward_tasks::TaskId::from_uuid(uuid::Uuid::from_u128(n));
        let task = doorward_tasks::Task::new(id, content, doorward_domain::Timestamp::from_unix_micros(0));
        assert!(stage.repo.insert(scope, &task, 10).await.unwrap());
    }
    (stage, store)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policies_alone_keep_rows_apart_and_their_lack_is_found() {
    for table in ["tasks", "task_counts"] {
        let (stage, store) = with_a_task_each(Policies::Kept).await;
        a_table_keeps_its_rows_to_their_owners(&store, table, &stage.own, &stage.other).await.unwrap();
        let (stage, store) = with_a_task_each(Policies::Removed).await;
        let found = a_table_keeps_its_rows_to_their_owners(&store, table, &stage.own, &stage.other).await;
        assert!(found.is_err(), "{table} is not protected and passes");
    }
}

const OWNED: &[&str] = &["tasks", "task_counts"];

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_lacks_any_part_of_its_protection_is_refused_by_name() {
    for (statement, expected) in [
        ("ALTER TABLE tasks DISABLE ROW LEVEL SECURITY", "tasks"),
        ("ALTER TABLE task_counts NO FORCE ROW LEVEL SECURITY", "task_counts"),
        ("DROP POLICY doorward_owner ON tasks", "tasks"),
        ("CREATE POLICY everybody ON tasks USING (true)", "tasks"),
        ("CREATE POLICY readers ON tasks FOR SELECT USING (completed)", "tasks"),
        ("ALTER POLICY doorward_owner ON tasks USING (true)", "tasks"),
        ("ALTER POLICY doorward_owner ON tasks USING (owner_id = (SELECT owner_id)) ", "tasks"),
        ("ALTER POLICY doorward_owner ON tasks WITH CHECK (true)", "tasks"),
        ("ALTER POLICY doorward_owner ON tasks TO pg_monitor", "tasks"),
        // Its policy compares texts, with whatever is called `=` for these.
        ("CREATE TABLE texts (owner_id text, note text)", "texts"),
        ("REVOKE UPDATE ON tasks FROM doorward", "tasks"),
        ("DROP TABLE task_counts", "task_counts"),
        // Nobody named this one: its column tells that its rows have owners.
        ("CREATE TABLE forgotten (owner_id uuid, note text)", "forgotten"),
    ] {
        let (stage, store) = on_postgres(Policies::Kept, None).await;
        store.check_protection(OWNED).await.unwrap();
        alter(&store, &stage.own, statement).await;
        match store.check_protection(OWNED).await {
            Err(ProtectionError::Unprotected { table, .. }) => assert_eq!(table, expected, "{statement}"),
            outcome => panic!("{statement}: {outcome:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owned_table_of_one_s_own_is_protected_by_one_literal() {
    const NOTES: &str =
        concat!("CREATE TABLE notes (owner_id uuid NOT NULL, note text);", doorward_persistence::protect_sql!("notes"));
    let (stage, store) = on_postgres(Policies::Kept, None).await;
    alter(&store, &stage.own, NOTES).await;
    // As a migration that runs again.
    alter(&store, &stage.own, doorward_persistence::protect_sql!("notes")).await;
    store.check_protection(&["notes"]).await.unwrap();
    for scope in [&stage.own, &stage.other] {
        let mut unit = store.write(scope).await.unwrap();
        let insert = unit.statement("INSERT INTO notes (owner_id, note) VALUES ($1, 'mine')");
        insert.execute(unit.connection()).await.unwrap();
        unit.commit().await.unwrap();
    }
    a_table_keeps_its_rows_to_their_owners(&store, "notes", &stage.own, &stage.other).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_is_somebody_from_the_start_is_refused() {
    let mut superuser = sqlx::PgConnection::connect(&postgres::superuser_url()).await.unwrap();
    for (setting, value) in [("doorward.owner", "'019a0000-0000-7000-8000-000000000000'"), ("row_security", "off")] {
        let role = postgres::fresh_schema();
        let statements = format!("CREATE ROLE {role} LOGIN; ALTER ROLE {role} SET {setting} = {value}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(statements)).execute(&mut superuser).await.unwrap();
        let url = format!("postgres://{role}@{}/postgres", postgres::address());
        let store = OwnedStore::postgres(PgPool::connect(&url).await.unwrap());
        match store.check_role().await {
            Err(ProtectionError::Setting { setting: found }) => assert_eq!(found, setting),
            outcome => panic!("{setting}: {outcome:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_is_given_up_while_it_begins_leaves_no_owner_behind() {
    const OWNER: &str = "SELECT coalesce(current_setting('doorward.owner', true), '')";
    let pool = PgPoolOptions::new().max_connections(1).connect(postgres::url()).await.unwrap();
    let store = OwnedStore::postgres(pool.clone());
    let scope = doorward_scope::vouch(UserId::new(&SystemClock, &SystemEntropy).unwrap());
    let mut given_up = 0;
    for round in 0..rounds(1_000) {
        // As a request is whose client hangs up, a little later each time.
        let hang_up = async {
            for _ in 0..round % 100 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            unit = store.read(&scope) => drop(unit.unwrap()),
            () = hang_up => given_up += 1,
        }
        let owner: String = sqlx::query_scalar(OWNER).fetch_one(&pool).await.unwrap();
        assert_eq!(owner, "", "round {round}");
    }
    assert!(given_up > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_that_has_come_to_be_wrong_keeps_no_task_from_being_deleted() {
    let (stage, store) = with_a_task_each(Policies::Kept).await;
    alter(&store, &stage.own, "UPDATE task_counts SET tasks = 0").await;
    let task = doorward_tasks::TaskId::from_uuid(uuid::Uuid::from_u128(1));
    assert!(stage.repo.delete(&stage.own, task, None).await.unwrap());
}

#[test]
fn a_role_that_may_bypass_policies_is_refused_and_goes_without_tasks() {
    let mut service = Service::start(Database::Sqlite, &[]);
    service.kill();
    service.set("DATABASE__URL", &postgres::superuser_url());
    let schema = postgres::fresh_schema();
    service.set("DATABASE__SCHEMA", &schema);
    service.spawn_again();
    assert_eq!(service.wait_until_ended().code(), Some(1));
    assert!(service.log().contains("role `postgres` may bypass row-level security"), "{}", service.log());

    let migrated = service.command(&["migrate"]);
    assert_eq!(migrated.status.code(), Some(1), "{migrated:?}");
    assert!(!schema_exists(&schema), "something was changed before the role was refused");

    service.set("TASKS__ENABLED", "false");
    service.start_again();
}

#[tokio::main]
async fn schema_exists(schema: &str) -> bool {
    let mut connection = sqlx::PgConnection::connect(postgres::url()).await.unwrap();
    let named = sqlx::query_scalar("SELECT count(*) FROM pg_namespace WHERE nspname = $1").bind(schema);
    let found: i64 = named.fetch_one(&mut connection).await.unwrap();
    found > 0
}
