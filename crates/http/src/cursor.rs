//! Where the next page of a list begins, opaque to clients: the id of the last item of the page before.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

/// The cursor behind the item with this id.
#[must_use]
pub fn of(last: Uuid) -> String {
    URL_SAFE_NO_PAD.encode(last.as_bytes())
}

/// The id in a cursor; `None` for what is none.
#[must_use]
pub fn parse(text: &str) -> Option<Uuid> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    <[u8; 16]>::try_from(bytes).ok().map(Uuid::from_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_goes_there_and_back_and_nothing_else_does() {
        let id = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);
        assert_eq!(parse(&of(id)), Some(id));
        for text in ["", "x", "019000000000700080000000000000", &format!("{}A", of(id)), &format!("{}==", of(id))] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
