use doorward_domain::{EmailAddress, Locale, Message};

use crate::Sender;

/// Whom the tests' mail comes from.
pub(crate) fn sender() -> Sender {
    "Example <accounts@example.com>".parse().unwrap()
}

/// A short message to Ada.
pub(crate) fn message(id: &str) -> Message {
    Message {
        id: id.to_owned(),
        to: EmailAddress::parse("ada@example.com").unwrap(),
        subject: "Hello".to_owned(),
        locale: Locale::parse("en").unwrap(),
        text: "Good day.\nGrüße.\n".into(),
        html: "<p>Good day.</p>".into(),
    }
}

/// The headers of a message, unfolded.
pub(crate) fn headers(bytes: &[u8]) -> Vec<(String, String)> {
    let text = std::str::from_utf8(bytes).unwrap();
    let (head, _) = text.split_once("\r\n\r\n").unwrap();
    let unfolded = head.replace("\r\n ", " ").replace("\r\n\t", " ");
    let header = |line: &str| {
        let (name, value) = line.split_once(':').unwrap();
        (name.to_owned(), value.trim().to_owned())
    };
    unfolded.split("\r\n").map(header).collect()
}
