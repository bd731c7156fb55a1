//! Doorward's webhook port, [`WebhookTransport`](doorward_domain::WebhookTransport), over HTTPS.
//!
//! Whoever may say where a server sends requests can have it ask what only it can reach. So a [`Target`] names a public
//! address unless its operator allows others, a name is looked up and checked for each connection, which then goes to
//! exactly the addresses that were checked, and redirects are not followed.
//!
//! # Where to look
//!
//! | for | see |
//! |---|---|
//! | where webhooks may go | [`Target`] |
//! | which addresses are public | `address.rs` |
//! | what is sent, and what counts as taken | [`HttpTransport`] |

mod address;
mod resolver;
mod target;
#[cfg(test)]
mod testing;
mod transport;

pub use target::{InvalidTarget, Target};
pub use transport::{HttpTransport, UnusableClient};
