use doorward_domain::Password;
use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

/// The SHA-1 of a password, as lists of breached passwords name it.
///
/// Whoever has it has a password that people choose: it neither prints nor leaves this crate, and is wiped when dropped.
pub(crate) struct PasswordDigest(Zeroizing<[u8; 20]>);

impl PasswordDigest {
    /// That of a password as UTF-8 in normalization form C, which a [`Password`] is.
    pub(crate) fn of(password: &Password) -> Self {
        Self(Zeroizing::new(Sha1::digest(password.expose().as_bytes()).into()))
    }

    /// What a filter knows it by.
    pub(crate) fn key(&self) -> u64 {
        key_of(&self.0)
    }

    /// Its 40 digits, in upper case as the range protocol has them.
    #[cfg(feature = "breach_check")]
    pub(crate) fn hex(&self) -> Zeroizing<String> {
        const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
        // Reserved in full at once: a string that grew would leave copies behind that nobody wipes.
        let mut hex = Zeroizing::new(String::with_capacity(2 * self.0.len()));
        for byte in self.0.iter() {
            hex.extend([byte >> 4, byte & 15].iter().filter_map(|nibble| DIGITS.get(usize::from(*nibble))));
        }
        hex
    }
}

/// What a filter knows a hash by: its leading 64 bits, so that keys are sorted as hashes are.
pub(crate) fn key_of(hash: &[u8; 20]) -> u64 {
    hash.first_chunk().map_or(0, |leading| u64::from_be_bytes(*leading))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::password;

    #[test]
    fn the_key_is_the_beginning_of_the_hash() {
        // sha1sum says 5baa61e4c9b93f3f0682250b6cf8331b7ee68fd8.
        assert_eq!(PasswordDigest::of(&password("password")).key(), 0x5baa_61e4_c9b9_3f3f);
    }

    #[cfg(feature = "breach_check")]
    #[test]
    fn the_digits_are_those_of_the_published_lists() {
        let hex = |text: &str| PasswordDigest::of(&password(text)).hex().to_string();
        assert_eq!(hex("password"), "5BAA61E4C9B93F3F0682250B6CF8331B7EE68FD8");
        assert_eq!(hex("caf\u{e9}"), hex("cafe\u{301}"));
    }
}
