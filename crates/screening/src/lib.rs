//! Screens for passwords that others have lost already, behind the port [`PasswordScreen`].
//!
//! - [`PasswordFilter`] is a file made from a public list of breached passwords. It is asked where it lies, and nothing
//!   leaves the machine. It takes little more than a byte for each password, and takes one in 256 others for one of them.
//! - `BreachCheck` asks a service that speaks the range protocol of Have I Been Pwned. It sends five digits of a
//!   password's SHA-1 and looks for the rest in the answer, so the service does not learn which password was meant.
//!
//! # Where to look
//!
//! | for | see |
//! |---|---|
//! | how a list becomes a filter | `build_filter.rs`, which reads it with `hash_list.rs` |
//! | what a filter's file holds | `file_format.rs` |
//! | how membership is stored in a byte an entry | `fuse.rs` |
//! | what is sent to another machine | `breach_check.rs` |

#[cfg(feature = "breach_check")]
mod breach_check;
mod build_filter;
mod digest;
mod file_format;
mod fuse;
mod hash_list;
mod password_filter;
#[cfg(test)]
mod testing;

#[cfg(doc)]
use doorward_auth::password::PasswordScreen;

#[cfg(feature = "breach_check")]
pub use breach_check::{BreachCheck, BreachCheckOptions, OnFailure, UnusableBreachCheck};
pub use build_filter::{BuildError, build_filter};
pub use file_format::FilterError;
pub use hash_list::LineProblem;
pub use password_filter::PasswordFilter;
