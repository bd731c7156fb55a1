//! The pages in a real browser, with and without scripts.
//!
//! The checks themselves are in `tests/browser`, one program for each subject; `./test` installs what drives Chromium
//! there. `CHECK` runs only the checks whose name contains it.

use std::process::Command;
use std::sync::PoisonError;

use doorward_tests::Dev;

use crate::QUIET;

/// Runs a program of `tests/browser` against a fresh service with these settings.
fn browse(program: &str, settings: &[(&str, &str)], variables: &[(&str, &str)]) {
    let _together = QUIET.read().unwrap_or_else(PoisonError::into_inner);
    browse_alone(program, settings, variables);
}

fn browse_alone(program: &str, settings: &[(&str, &str)], variables: &[(&str, &str)]) {
    let data = tempfile::tempdir().unwrap();
    let service = Dev::start_with(data.path(), settings);
    let output = Command::new("node")
        .arg(format!("{}/browser/{program}.mjs", env!("CARGO_MANIFEST_DIR")))
        .env("DOORWARD_URL", &service.url)
        .env("DOORWARD_MAIL", data.path().join("mail"))
        .envs(variables.iter().copied())
        .output()
        .expect("./test installs Node");
    println!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_flow_works_from_end_to_end_with_and_without_scripts() {
    browse("flows", &[], &[]);
}

#[test]
fn who_registers_is_let_in_once_the_address_is_verified() {
    browse("verified", &[("REGISTRATION__MODE", "verified")], &[]);
}

#[test]
fn tabs_stay_logged_in_together_and_are_logged_out_together() {
    browse("tabs", &[], &[]);
}

#[test]
fn a_session_that_is_about_to_end_says_so_and_can_be_extended() {
    browse("expiry", &[("SESSIONS__IDLE", "10s"), ("SESSIONS__ABSOLUTE", "10m")], &[("SESSION_IDLE", "10")]);
}

#[test]
fn nothing_that_others_write_or_send_leads_astray() {
    browse("hostile", &[], &[]);
}

#[test]
fn everybody_can_use_the_pages() {
    browse("access", &[], &[]);
}

#[test]
fn a_new_password_is_given_advice_on() {
    browse("meter", &[], &[]);
}

#[test]
fn a_browser_does_the_work_that_it_is_asked_for() {
    browse("proof", &[("PROOF_OF_WORK__DIFFICULTY", "18")], &[]);
}

#[test]
fn pages_are_light_and_still() {
    let _alone = QUIET.write().unwrap_or_else(PoisonError::into_inner);
    browse_alone("figures", &[], &[]);
}

#[test]
fn tasks_are_kept_with_and_without_scripts() {
    browse("tasks", &[], &[]);
}
