//! Samples for the unit tests.

use std::fmt::Write as _;
use std::ops::Range;

use doorward_domain::Password;
use secrecy::SecretString;
use sha1::{Digest, Sha1};

pub(crate) fn password(text: &str) -> Password {
    Password::parse(&SecretString::from(text.to_owned())).unwrap()
}

/// One of many passwords.
pub(crate) fn numbered(n: u64) -> Password {
    password(&text(n))
}

fn text(n: u64) -> String {
    format!("password number {n}")
}

/// The line of a list for [`numbered`], without its end.
pub(crate) fn hash_line(n: u64) -> String {
    let digest: [u8; 20] = Sha1::digest(text(n)).into();
    digest.iter().fold(String::new(), |mut line, byte| {
        write!(line, "{byte:02X}").unwrap();
        line
    })
}

/// A sorted list of these passwords.
pub(crate) fn list_of(numbers: Range<u64>) -> String {
    let mut lines: Vec<String> = numbers.map(hash_line).collect();
    lines.sort_unstable();
    lines.iter().fold(String::new(), |list, line| list + line + "\n")
}
