//! The forms in which a secret could stand somewhere.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// How much of a long secret is looked for. Its end, since the beginnings of signed tokens are the same; and no more,
/// since a run has many thousands of them.
const PLAIN: usize = 32;
const BASE64: usize = 24;
const HEX: usize = 16;

/// Every form by its name, with what to look for.
pub(super) fn of(secret: &str) -> Vec<(&'static str, Vec<u8>)> {
    let bytes = secret.as_bytes();
    let mut forms = vec![("plain", end(bytes, PLAIN).to_vec())];
    let quoted = serde_json::to_string(secret).unwrap();
    forms.push(("json", end(&quoted.as_bytes()[1..quoted.len() - 1], PLAIN).to_vec()));
    for space in ["%20", "+"] {
        forms.push(("percent-encoded", end(escaped(secret, space).as_bytes(), PLAIN).to_vec()));
    }
    for shift in 0..3 {
        let [standard, url_safe] = base64(end(bytes, BASE64), shift);
        forms.push(("base64", standard));
        forms.push(("base64", url_safe));
    }
    forms.extend(hex(end(bytes, HEX)).map(|needle| ("hex", needle)));
    if let Some(decoded) = decoded(secret) {
        let decoded = end(&decoded, HEX);
        forms.push(("decoded", decoded.to_vec()));
        forms.extend(hex(decoded).map(|needle| ("decoded, hex", needle)));
    }
    // Most secrets look the same in several forms; the first name is kept.
    let mut known = Vec::new();
    forms.retain(|(_, needle)| {
        let is_new = !known.contains(needle);
        if is_new {
            known.push(needle.clone());
        }
        is_new
    });
    forms
}

fn end(bytes: &[u8], most: usize) -> &[u8] {
    &bytes[bytes.len().saturating_sub(most)..]
}

fn escaped(text: &str, space: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().fold(String::new(), |mut escaped, byte| {
        match byte {
            b' ' => escaped.push_str(space),
            byte if is_plain(byte) => escaped.push(char::from(byte)),
            byte => write!(escaped, "%{byte:02X}").unwrap(),
        }
        escaped
    })
}

/// In both alphabets, where so many bytes (modulo 3) stand before it: without the letters that its neighbours have a
/// part in.
fn base64(bytes: &[u8], shift: usize) -> [Vec<u8>; 2] {
    let shifted = [&vec![0; shift], bytes].concat();
    let first = (shift * 8).div_ceil(6);
    let last = shifted.len() * 8 / 6;
    [STANDARD_NO_PAD.encode(&shifted), URL_SAFE_NO_PAD.encode(&shifted)]
        .map(|text| text.as_bytes()[first..last].to_vec())
}

/// In both cases.
fn hex(bytes: &[u8]) -> [Vec<u8>; 2] {
    let lower = bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    });
    [lower.to_uppercase().into_bytes(), lower.into_bytes()]
}

/// The bytes that a key or a token stands for: what follows its kind, such as `dwr_`, or its last dot, or all of it.
fn decoded(secret: &str) -> Option<Vec<u8>> {
    let without_kind = secret.strip_prefix("dw").and_then(|rest| Some(rest.split_once('_')?.1));
    let signature = secret.rsplit_once('.').map(|(_, signature)| signature);
    let encoded = without_kind.or(signature).unwrap_or(secret);
    let bytes = STANDARD.decode(encoded).or_else(|_| URL_SAFE_NO_PAD.decode(encoded)).ok()?;
    // Fewer could stand anywhere by chance, and a token that a test has cut short ends in claims, which name the issuer.
    (bytes.len() >= HEX && !bytes.starts_with(b"{")).then_some(bytes)
}
