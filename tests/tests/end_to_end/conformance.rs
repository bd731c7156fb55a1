//! Both storage adapters pass the suite that any adapter has to pass.

mod on_sqlite {
    use doorward_tests::{Database, in_process::empty_store};

    doorward_persistence::conformance_suite!(async {
        // Kept for the store's life; the system's folder for temporary files is cleared by its owner.
        let folder = Box::leak(Box::new(tempfile::tempdir().unwrap()));
        empty_store(Database::Sqlite, folder).await
    });
}

mod on_postgres {
    use doorward_tests::{Database, in_process::empty_store};

    doorward_persistence::conformance_suite!(async {
        let folder = tempfile::tempdir().unwrap();
        empty_store(Database::Postgres, &folder).await
    });
}
