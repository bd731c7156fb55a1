//! Recognising secrets that were copied from an example, or typed in.

use zeroize::Zeroizing;

/// What stands in secrets that were copied from an example.
const WORDS: &[&str] = &["secret", "change", "password", "example", "placeholder", "your-", "your_"];
/// 32 random characters have fewer distinct ones less than once in a million secrets, whatever their alphabet down to
/// hexadecimal.
const LEAST_DISTINCT_BYTES: usize = 10;

/// Whether a secret can hardly be random: by what it says, or by how few different bytes it has.
pub(crate) fn is_placeholder(text: &str, bytes: &[u8]) -> bool {
    let mut distinct = Zeroizing::new(bytes.to_vec());
    distinct.sort_unstable();
    distinct.dedup();
    let text = Zeroizing::new(text.to_ascii_lowercase());
    distinct.len() < LEAST_DISTINCT_BYTES || WORDS.iter().any(|word| text.contains(word))
}
