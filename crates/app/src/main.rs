//! The `doorward` command.

mod command;

use std::process::ExitCode;

use clap::Parser as _;

// Fewer pages and less fragmentation than the system's allocator under many small, short-lived allocations.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    command::Command::parse().run()
}
