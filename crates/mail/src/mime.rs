use std::error::Error;

use doorward_domain::{EmailAddress, Message};
use lettre::address::{Address, Envelope};
use lettre::message::header::{Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use secrecy::ExposeSecret;

use crate::Sender;

/// A message as the wire and a file hold it. Its text may hold a usable token.
pub(crate) struct Written {
    /// From whom to whom, for the dialogue with the server.
    pub(crate) envelope: Envelope,
    /// RFC 5322, lines ended by CRLF.
    pub(crate) bytes: Vec<u8>,
}

/// Writes a message. It has the same headers in the same order whatever it says; its date is the present.
///
/// The error names what is wrong and holds nothing of the message.
pub(crate) fn write(from: &Sender, message: &Message) -> Result<Written, &'static str> {
    if !is_message_id(&message.id) {
        return Err("its id is not of the form <id@host>");
    }
    let sender = address(from.address())?;
    let recipient = address(&message.to)?;
    let envelope = Envelope::new(Some(sender.clone()), vec![recipient.clone()]).map_err(|_| "it has no recipient")?;
    let from = Mailbox::new(from.name().map(str::to_owned), sender);
    let text = message.text.expose_secret().to_owned();
    let html = message.html.expose_secret().to_owned();
    let built = lettre::Message::builder()
        .envelope(envelope.clone())
        .from(from.clone())
        .reply_to(from)
        .to(Mailbox::new(None, recipient))
        .subject(one_line(&message.subject))
        .header(MessageId(message.id.clone()))
        .header(AutoSubmitted)
        .header(ContentLanguage(message.locale.as_str().to_owned()))
        .multipart(MultiPart::alternative().singlepart(SinglePart::plain(text)).singlepart(SinglePart::html(html)))
        .map_err(|_| "its headers cannot be written")?;
    Ok(Written { envelope, bytes: built.formatted() })
}

fn address(address: &EmailAddress) -> Result<Address, &'static str> {
    address.as_str().parse().map_err(|_| "an address cannot be written")
}

/// The part of a `Message-ID` before the `@`, if the id is a plain one.
pub(crate) fn id_part(id: &str) -> Option<&str> {
    is_message_id(id).then(|| id.trim_start_matches('<').split('@').next()).flatten()
}

/// RFC 5322 section 3.6.4, less the obsolete forms; nothing in it can end a header or name another folder.
fn is_message_id(id: &str) -> bool {
    let part =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:[]".contains(&b));
    id.strip_prefix('<')
        .and_then(|id| id.strip_suffix('>'))
        .and_then(|id| id.split_once('@'))
        .is_some_and(|(left, right)| part(left) && part(right) && left != "." && left != "..")
}

/// A composer of somebody's own may not have kept to the rule that a subject is one line.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// `Message-ID`, kept in one piece: folding one is allowed but trips up what compares ids as text.
#[derive(Clone)]
struct MessageId(String);

impl Header for MessageId {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Message-ID")
    }

    fn parse(text: &str) -> Result<Self, Box<dyn Error + Send + Sync>> {
        Ok(Self(text.to_owned()))
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::dangerous_new_pre_encoded(Self::name(), self.0.clone(), self.0.clone())
    }
}

/// `Auto-Submitted: auto-generated` (RFC 3834 section 5), so that holiday notes are not sent in reply.
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

/// `Content-Language` (RFC 3282 section 2).
#[derive(Clone)]
struct ContentLanguage(String);

impl Header for ContentLanguage {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Content-Language")
    }

    fn parse(text: &str) -> Result<Self, Box<dyn Error + Send + Sync>> {
        Ok(Self(text.to_owned()))
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{headers, message, sender};

    const NAMES: [&str; 10] = [
        "Auto-Submitted",
        "Content-Language",
        "Content-Type",
        "Date",
        "From",
        "MIME-Version",
        "Message-ID",
        "Reply-To",
        "Subject",
        "To",
    ];

    #[test]
    fn a_message_has_these_headers_and_no_others() {
        for subject in
            ["Hello", "Grüße aus Köln", "a\r\nBcc: eve@example.com\r\n\r\nbody", "\u{85}\u{0}", "x ".repeat(200).trim()]
        {
            let mut message = message("<0190-a@example.com>");
            message.subject = subject.to_owned();
            let headers = headers(&write(&sender(), &message).unwrap().bytes);
            let mut names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
            names.sort_unstable();
            assert_eq!(names, NAMES, "{subject:?}");
        }
    }

    #[test]
    fn the_id_is_written_as_it_is() {
        let id = format!("<0190f3b2-0000-7000-8000-000000000000@{}.example.com>", "long-label.".repeat(6) + "end");
        let headers = headers(&write(&sender(), &message(&id)).unwrap().bytes);
        let value = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone()).unwrap();
        assert_eq!(value("Message-ID"), id);
        assert_eq!(value("To"), "ada@example.com");
        assert_eq!(value("Auto-Submitted"), "auto-generated");
        assert_eq!(value("Content-Language"), "en");
        assert!(value("Content-Type").starts_with("multipart/alternative"));
    }

    #[test]
    fn only_plain_ids_are_written() {
        for id in ["", "a@b", "<a>", "<@b>", "<a@>", "<../a@b>", "<a/b@c>", "<a@b>\r\nBcc: x", "<a b@c>", "<..@b>"] {
            assert!(write(&sender(), &message(id)).is_err(), "{id:?}");
        }
        assert_eq!(id_part("<0190-a@example.com>"), Some("0190-a"));
    }

    #[test]
    fn the_envelope_has_one_recipient_and_the_sender_takes_the_bounces() {
        let envelope = write(&sender(), &message("<a@b>")).unwrap().envelope;
        assert_eq!(envelope.to().iter().map(ToString::to_string).collect::<Vec<_>>(), ["ada@example.com"]);
        assert_eq!(envelope.from().map(ToString::to_string).as_deref(), Some("accounts@example.com"));
    }
}
