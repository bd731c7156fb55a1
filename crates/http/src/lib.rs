//! Doorward over HTTP: axum routes, extractors, middleware and problem responses.
//!
//! [`routes`] gives the router that a service serves or nests under a prefix of its own. [`CurrentUser`] and
//! [`OptionalUser`] are extractors for any handler whose state holds an [`AccessGuard`].
//!
//! # Where to look
//!
//! | for | see |
//! |---|---|
//! | an endpoint | `routes/` |
//! | what people see | [`pages`], with the feature `pages` |
//! | what a refused request gets, and how a use case's error becomes it | [`problem`] |
//! | how a body or a query is read | [`body`] |
//! | how a path comes to name what a user owns, and nothing else | [`Owner`], [`OwnedItem`] |
//! | which address a client has behind a proxy | [`ClientAddress`] |
//! | when a cookie is believed | `origin.rs` |
//! | how a proof of work is presented | `proof.rs` |
//! | which services may ask about tokens, and how they show who they are | [`Clients`], `client_auth.rs` |
//! | how another service takes the tokens | `verifier.rs`, with the feature `verifier` |

#[cfg(feature = "server")]
pub mod body;
#[cfg(feature = "server")]
mod client;
#[cfg(feature = "server")]
mod client_auth;
#[cfg(feature = "server")]
mod clients;
#[cfg(feature = "server")]
mod config;
#[cfg(feature = "server")]
mod cookie;
mod current_user;
#[cfg(feature = "server")]
pub mod cursor;
#[cfg(feature = "server")]
mod device;
#[cfg(feature = "server")]
mod draining;
#[cfg(feature = "server")]
mod fields;
mod guard;
#[cfg(feature = "server")]
mod language;
#[cfg(feature = "server")]
mod middleware;
#[cfg(feature = "server")]
mod origin;
mod owner;
#[cfg(feature = "pages")]
pub mod pages;
#[cfg(feature = "server")]
mod parameters;
pub mod problem;
#[cfg(feature = "server")]
mod proof;
#[cfg(feature = "server")]
mod routes;
#[cfg(feature = "verifier")]
pub mod verifier;

#[cfg(feature = "server")]
pub use client::{ClientAddress, ComesFrom, ForwardedHeader, Proxies, TrustedProxies};
#[cfg(feature = "server")]
pub use clients::{
    ClientId, Clients, DuplicateClient, InvalidClientId, InvalidSecretDigest, SecretDigest, new_client_secret,
};
#[cfg(feature = "server")]
pub use config::{HttpConfig, HttpLimits, InvalidOrigin, Origin, OriginList};
pub use current_user::{CurrentUser, OptionalUser, RequireRole, RoleName};
#[cfg(feature = "server")]
pub use draining::Draining;
pub use guard::{AccessGuard, Authenticate};
pub use owner::{OwnedItem, Owner};
#[cfg(feature = "server")]
pub use routes::{routes, routes_with};
