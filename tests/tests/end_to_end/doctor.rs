//! `doorward doctor` says what is wrong around a service, before it or its users notice.

use std::process::Output;

use doorward_tests::{Database, Service, SmtpSink, postgres, task_rows};

/// What it printed and how it ended, with these settings in place of the service's.
fn doctor(service: &Service, changes: &[(&str, &str)]) -> (String, Option<i32>) {
    let Output { stdout, status, .. } = service.command_with(&["doctor"], changes);
    (String::from_utf8(stdout).unwrap(), status.code())
}

fn problems(said: &str) -> Vec<&str> {
    said.lines().filter(|line| line.starts_with("PROBLEM")).collect()
}

#[test]
fn a_sound_service_has_no_problem() {
    for database in Database::BOTH {
        let sink = SmtpSink::start();
        let service = Service::start_with_mail(database, &sink, &[]);
        let (said, code) = doctor(&service, &[]);
        assert_eq!((problems(&said), code), (vec![], Some(0)), "{said}");
        for expected in ["configuration", "mail server", "database answers", "each user's tasks", "master key"] {
            assert!(said.lines().any(|line| line.starts_with("ok: ") && line.contains(expected)), "{expected}: {said}");
        }
        assert!(sink.received().is_empty(), "a mail was sent");
    }
}

const NOBODY_TAKES_MAIL: [(&str, &str); 3] =
    [("MAIL__TRANSPORT", "smtp"), ("MAIL__FROM", "a@example.com"), ("MAIL__SMTP__URL", "smtp://127.0.0.1:9")];

#[test]
fn each_problem_is_told_by_what_it_is() {
    let mut service = Service::start(Database::Postgres, &[]);
    service.kill();
    for (changes, expected) in [
        (&NOBODY_TAKES_MAIL[..], "mail server"),
        (&[("DATABASE__URL", "postgres://nobody@127.0.0.1:9/nothing")][..], "database answers"),
        (&[("DATABASE__SCHEMA", "never_migrated")][..], "database answers"),
        (&[("SECRETS__MASTER_KEY", "7g2+7wABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhs=")][..], "master key"),
    ] {
        let (said, code) = doctor(&service, changes);
        let problems = problems(&said);
        assert!(problems.len() == 1 && problems[0].contains(expected), "{changes:?}: {said}");
        assert_eq!(code, Some(1), "{changes:?}");
    }
}

#[test]
fn a_role_that_may_bypass_policies_is_a_problem() {
    let service = Service::start(Database::Postgres, &[]);
    let url = postgres::superuser_url();
    let (said, code) = doctor(&service, &[("DATABASE__URL", &url)]);
    assert_eq!(code, Some(1), "{said}");
    assert!(problems(&said)[0].contains("role `postgres` may bypass row-level security"), "{said}");
    assert_eq!(doctor(&service, &[("DATABASE__URL", &url), ("TASKS__ENABLED", "false")]).1, Some(0));
}

#[tokio::test]
async fn a_table_without_its_policy_is_a_problem_and_keeps_the_service_from_starting() {
    let mut service = Service::start(Database::Postgres, &[]);
    let drop = sqlx::query("DROP POLICY doorward_owner ON tasks");
    drop.execute(&mut task_rows::postgres(&service).await).await.unwrap();
    let (said, code) = doctor(&service, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(problems(&said)[0].contains("the table `tasks` is not protected"), "{said}");
    service.kill();
    service.spawn_again();
    assert_eq!(service.wait_until_ended().code(), Some(1));
    assert!(service.log().contains("the table `tasks` is not protected"), "{}", service.log());
}
