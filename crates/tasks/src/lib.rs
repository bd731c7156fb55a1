//! Each user's tasks: the resource that shows what Doorward is for, and how a service keeps data that users own.
//!
//! Nothing here reaches into the other crates: it is written on their public interfaces, as an embedding service would
//! write a table of its own.
//!
//! # Where to look
//!
//! | for | see |
//! |---|---|
//! | what a task is | [`Task`], `task.rs` |
//! | what can be done with tasks | [`Tasks`], `tasks.rs` |
//! | what storage has to do | [`TaskRepo`], `repo.rs` |
//! | the statements and the tables | [`SqlTasks`], `sql.rs`, `migrations/` |
//! | the endpoints | [`routes`], `routes.rs` |
//! | the pages, and what they are made of | [`pages`], [`PAGES`], `pages.rs`, `templates/`, `texts/`, `assets/` |
//! | how a change names the version that it came from | `if_match.rs` |
//! | what every adapter of the port must pass | `conformance` (feature `conformance`) |

#[cfg(feature = "conformance")]
pub mod conformance;
mod if_match;
mod pages;
mod repo;
mod routes;
mod sql;
mod task;
mod tasks;

pub use if_match::IfMatch;
pub use pages::{PAGES, pages};
#[cfg(test)]
pub use repo::MockTaskRepo;
pub use repo::TaskRepo;
pub use routes::routes;
pub use sql::SqlTasks;
pub use task::{Description, InvalidDescription, InvalidTitle, Task, TaskContent, TaskId, Title, Version};
pub use tasks::{ChangeTaskError, CreateTaskError, ListTasks, TaskPage, Tasks};
