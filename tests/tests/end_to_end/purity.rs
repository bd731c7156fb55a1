//! `domain` and `auth` hold no runtime, no driver and no server, and nothing but `app` wires things together.

use std::process::Command;

/// What must never be below the rules.
const IMPURE: &[&str] = &["tokio", "sqlx", "axum", "hyper", "lettre", "reqwest", "mio", "async-std", "smol"];

fn tree(arguments: &[&str]) -> Vec<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let output = Command::new(cargo)
        .args(["tree", "--prefix", "none", "--format", "{p}", "--all-features", "--offline"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).unwrap();
    names.lines().filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
}

fn is_impure(name: &str) -> bool {
    IMPURE.iter().any(|impure| name == *impure || name.starts_with(&format!("{impure}-")))
}

#[test]
fn domain_and_auth_are_pure() {
    let names = tree(&["--package", "doorward-domain", "--package", "doorward-auth"]);
    assert!(names.len() > 10 && names.iter().any(|name| name == "doorward-auth"), "{names:?}");
    let impure: Vec<_> = names.iter().filter(|name| is_impure(name)).collect();
    assert!(impure.is_empty(), "{impure:?} crept in");
}

#[test]
fn the_check_sees_what_it_looks_for() {
    for (package, expected) in [("doorward-persistence", "sqlx"), ("doorward-http", "axum"), ("doorward", "tokio")] {
        let names = tree(&["--package", package]);
        assert!(names.iter().any(|name| name == expected && is_impure(name)), "{package} does not show {expected}");
    }
}

#[test]
fn arrows_point_down_only() {
    let own = |package: &str| {
        let mut names: Vec<_> = tree(&["--package", package, "--edges", "normal", "--depth", "1"])
            .into_iter()
            .filter(|name| name.starts_with("doorward") && name != package)
            .collect();
        names.sort();
        names.dedup();
        names
    };
    assert_eq!(own("doorward-scope"), [""; 0]);
    assert_eq!(own("doorward-domain"), ["doorward-scope"]);
    assert_eq!(own("doorward-auth"), ["doorward-domain", "doorward-scope"]);
    assert_eq!(own("doorward-persistence"), ["doorward-domain"]);
    assert_eq!(own("doorward-mapped"), [""; 0]);
    assert_eq!(own("doorward-screening"), ["doorward-auth", "doorward-domain", "doorward-mapped"]);
    assert_eq!(own("doorward-mail"), ["doorward-domain"]);
    assert_eq!(own("doorward-webhooks"), ["doorward-domain"]);
    assert_eq!(own("doorward-http"), ["doorward-auth", "doorward-domain"]);
    assert_eq!(own("doorward-tasks"), ["doorward-auth", "doorward-domain", "doorward-http", "doorward-persistence"]);
}

#[test]
fn nobody_but_the_verification_of_tokens_vouches_for_an_owner() {
    let arguments = ["--invert", "doorward-scope", "--edges", "normal", "--depth", "1", "--workspace"];
    let mut names = tree(&arguments);
    names.sort();
    names.dedup();
    // The domain names the type and auth makes the value; the tests are no part of any program.
    assert_eq!(names, ["doorward-auth", "doorward-domain", "doorward-scope", "doorward-tests"]);
    let domain = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/domain/src/owner.rs");
    assert!(!std::fs::read_to_string(domain).unwrap().contains("vouch"), "the domain hands out what makes scopes");
}

#[test]
fn nothing_but_the_program_and_the_tests_knows_tasks() {
    let mut names = tree(&["--invert", "doorward-tasks", "--edges", "normal", "--depth", "1", "--workspace"]);
    names.sort();
    names.dedup();
    assert_eq!(names, ["doorward", "doorward-tasks", "doorward-tests"]);
}
