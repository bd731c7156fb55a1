//! Doorward end to end. Each file holds the tests of one promise.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]
#![allow(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::too_many_lines,
    clippy::items_after_statements,
    reason = "figures are printed, and a story is told in one piece"
)]

mod configuration;
mod conformance;
mod connections;
mod contract;
mod cookies;
mod crashes;
mod doctor;
mod durability;
mod embedding;
mod forged_tokens;
mod hostile_requests;
mod in_process_steps;
mod introspection;
mod isolation;
mod key_commands;
mod key_rotation;
mod logout_races;
mod mail_crashes;
mod mail_delivery;
mod mail_flows;
mod mail_limits;
mod mail_links;
mod mail_same_answer;
mod mail_steps;
mod one_time_races;
mod one_time_tokens;
mod other_verifiers;
mod outages;
mod owned_layers;
mod pages;
mod proof_of_work;
mod purity;
mod races;
mod resource_server;
mod revocation;
mod screening;
mod security_log;
mod session_list;
mod stale;
mod task_pages;
mod task_races;
mod task_steps;
mod tasks;
mod throttling;
mod token_table;
mod transcript;
mod webhook_options;
mod webhooks;
