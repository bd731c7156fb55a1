//! Doorward over HTTP: axum routes, extractors, middleware and problem responses.
//!
//! [`routes`] gives the router that a service serves or nests under a prefix of its own. [`CurrentUser`] and
//! [`OptionalUser`] are extractors for any handler whose state holds an [`Auth`](doorward_auth::Auth).
//!
//! # Where to look
//!
//! | for | see |
//! |---|---|
//! | an endpoint | `routes/` |
//! | what a refused request gets, and how a use case's error becomes it | [`problem`] |
//! | how a body is read | `body.rs` |
//! | which address a client has behind a proxy | [`ClientAddress`] |
//! | when a cookie is believed | `origin.rs` |

mod body;
mod client;
mod config;
mod cookie;
mod current_user;
mod language;
mod middleware;
mod origin;
pub mod problem;
mod routes;

pub use client::{ClientAddress, TrustedProxies};
pub use config::{HttpConfig, HttpLimits, InvalidOrigin, Origin, OriginList};
pub use current_user::{CurrentUser, OptionalUser};
pub use routes::routes;
