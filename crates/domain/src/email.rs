use std::fmt;

use thiserror::Error;

/// An address that mail can be sent to, and the name under which an account is found.
///
/// The local part is an ASCII dot-atom (RFC 5321 section 4.1.2; quoted local parts are refused, since hardly
/// any mailbox has one and every parser reads them differently). The domain is held in its ASCII form
/// (UTS #46, RFC 5891) and has at least two labels.
///
/// ```
/// use doorward_domain::EmailAddress;
///
/// let given = EmailAddress::parse("Ada@Bücher.example")?;
/// assert_eq!(given.as_str(), "Ada@xn--bcher-kva.example");
/// // Two addresses are one account when their canonical forms are equal.
/// assert_eq!(given.canonical(), "ada@xn--bcher-kva.example");
/// # Ok::<(), doorward_domain::InvalidEmail>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EmailAddress(String);

/// The text is not an address that Doorward takes. Says nothing of the text itself, which may be anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("must be an address such as ada@example.com, at most 254 characters, with an ASCII local part")]
pub struct InvalidEmail;

impl EmailAddress {
    /// The greatest length in octets, in the ASCII form (RFC 3696 erratum 1690).
    pub const MAX_LENGTH: usize = 254;
    /// The greatest length of the part before the `@`, in octets (RFC 5321 section 4.5.3.1.1).
    const MAX_LOCAL_LENGTH: usize = 64;

    /// Reads an address. White space around it is refused rather than trimmed, so that what is stored is what
    /// was sent.
    ///
    /// # Errors
    ///
    /// [`InvalidEmail`] for anything else than `local@domain` as described on the type.
    pub fn parse(text: &str) -> Result<Self, InvalidEmail> {
        // A longer text cannot become shorter by more than IDNA's mapping of its domain; the bound keeps the
        // mapping from being fed megabytes.
        if text.len() > 4 * Self::MAX_LENGTH {
            return Err(InvalidEmail);
        }
        let (local, domain) = text.split_once('@').ok_or(InvalidEmail)?;
        // `=?` begins an encoded word (RFC 2047), which mail programs may read as another address.
        if local.len() > Self::MAX_LOCAL_LENGTH || !local.split('.').all(is_atom) || local.contains("=?") {
            return Err(InvalidEmail);
        }
        let address = format!("{local}@{}", ascii_domain(domain)?);
        if address.len() > Self::MAX_LENGTH {
            return Err(InvalidEmail);
        }
        Ok(Self(address))
    }

    /// The address with the local part as it was given and the domain in ASCII; mail goes here.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address in ASCII lower case, which is what makes two spellings one account.
    #[must_use]
    pub fn canonical(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    /// The part before the `@`, as given.
    #[must_use]
    pub fn local_part(&self) -> &str {
        self.0.split_once('@').map_or("", |(local, _)| local)
    }

    /// The part after the `@`, in ASCII.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.0.split_once('@').map_or("", |(_, domain)| domain)
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EmailAddress {
    /// Personal data stays out of debug output, which tends to end up in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmailAddress(..)")
    }
}

/// RFC 5322 section 3.2.3: `atext`, at least one.
fn is_atom(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b))
}

fn ascii_domain(domain: &str) -> Result<String, InvalidEmail> {
    let ascii = idna::domain_to_ascii_strict(domain).map_err(|_| InvalidEmail)?;
    let labels: Vec<&str> = ascii.split('.').collect();
    let numeric_top = labels.last().is_none_or(|top| top.bytes().all(|b| b.is_ascii_digit()));
    let well_formed = labels.len() >= 2
        && ascii.len() <= 253
        && labels.iter().all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        });
    // A numeric top label would be an IPv4 address, or something that a resolver takes for one.
    if well_formed && !numeric_top { Ok(ascii) } else { Err(InvalidEmail) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_addresses_are_kept_as_given() {
        for text in ["ada@example.com", "Ada.Lovelace+tag@Example.co.uk", "o'brien@a-b.example", "x@y.zz"] {
            let address = EmailAddress::parse(text).unwrap();
            assert_eq!(address.local_part(), text.split_once('@').unwrap().0);
            assert_eq!(address.canonical(), text.to_ascii_lowercase());
        }
    }

    #[test]
    fn one_domain_in_two_scripts_is_one_account() {
        let unicode = EmailAddress::parse("ada@BÜCHER.example").unwrap();
        let ascii = EmailAddress::parse("ADA@xn--bcher-kva.example").unwrap();
        assert_eq!(unicode.canonical(), ascii.canonical());
    }

    #[test]
    fn what_is_no_plain_address_is_refused() {
        let long_local = format!("{}@example.com", "a".repeat(65));
        let long = format!("a@{}example.com", "a.".repeat(130));
        let huge = "a@".to_owned() + &"ü".repeat(100_000);
        for text in [
            "",
            "@",
            "a@",
            "@b.c",
            "a",
            "a@b",
            "a@@b.c",
            "a@b@c.d",
            " a@b.cc",
            "a@b.cc ",
            "a b@c.dd",
            "a@b c.dd",
            "\"a b\"@c.dd",
            "a.@b.cc",
            ".a@b.cc",
            "a..b@c.dd",
            "ä@b.cc",
            "а@b.cc",
            "a@-b.cc",
            "a@b-.cc",
            "a@b..cc",
            "a@.b.cc",
            "a@b.cc.",
            "a@[127.0.0.1]",
            "a@127.0.0.1",
            "a@b.1",
            "a@b_c.dd",
            "a@b.cc\r\nBcc: d@e.ff",
            "a@b.cc,d@e.ff",
            "a@b.cc;d@e.ff",
            "a\u{0}@b.cc",
            "a@b\u{200b}.cc\u{0}",
            "<a@b.cc>",
            "Ada <a@b.cc>",
            "a@xn--a.cc",
            &long_local,
            &long,
            &huge,
        ] {
            assert_eq!(EmailAddress::parse(text), Err(InvalidEmail), "{text:?}");
        }
    }

    #[test]
    fn debug_output_keeps_the_address_private() {
        let address = EmailAddress::parse("ada@example.com").unwrap();
        assert!(!format!("{address:?}").contains("ada"));
    }
}
