use std::error::Error;
use std::io::ErrorKind;

use doorward_domain::SendError;

/// Answers that are about the account or the service and say nothing of the message: not available, log-in
/// wrong, needed or too weak, command not known or out of order (RFC 5321 section 4.2.3, RFC 4954 section 6).
const ABOUT_THE_SERVICE: [u16; 8] = [421, 454, 502, 503, 530, 534, 535, 538];
/// How much of an answer an operator gets to see, in code points.
const MAX_ANSWER: usize = 200;

/// What a failed attempt means. Holds the server's own words and nothing of the message.
pub(crate) fn send_error(error: &lettre::transport::smtp::Error) -> SendError {
    match error.status() {
        // The error behind the error is what the server answered.
        Some(code) => judge(Some(code.into()), &error.source().map(ToString::to_string).unwrap_or_default()),
        None if is_no_connection(error) => SendError::NoConnection(first_line(&error.to_string())),
        None => judge(None, &error.to_string()),
    }
}

/// Whether not even a safe connection came about. An answer, a silence or an end in the middle of a dialogue may be
/// about the message, whatever they say.
fn is_no_connection(error: &lettre::transport::smtp::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return matches!(
                error.kind(),
                ErrorKind::ConnectionRefused
                    | ErrorKind::HostUnreachable
                    | ErrorKind::NetworkUnreachable
                    // What a TLS handshake fails with.
                    | ErrorKind::InvalidData
            );
        }
        cause = error.source();
    }
    error.is_tls()
}

fn judge(code: Option<u16>, answer: &str) -> SendError {
    let answer = first_line(answer);
    let Some(code) = code else { return SendError::Unreachable(answer) };
    let text = format!("{code} {answer}").trim_end().to_owned();
    match code {
        _ if ABOUT_THE_SERVICE.contains(&code) => SendError::Unreachable(text),
        400..=499 => SendError::Temporary(text),
        500..=599 => SendError::Permanent(text),
        _ => SendError::Unreachable(text),
    }
}

/// The first line, cut, without anything that could forge a line of a log.
fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.chars().take(MAX_ANSWER).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_about_the_message_or_about_the_service() {
        for code in [450, 451, 452, 499] {
            assert_eq!(judge(Some(code), "x"), SendError::Temporary(format!("{code} x")));
        }
        for code in [550, 552, 553, 554, 501] {
            assert_eq!(judge(Some(code), "x"), SendError::Permanent(format!("{code} x")));
        }
        for code in ABOUT_THE_SERVICE.into_iter().chain([250, 354]) {
            assert_eq!(judge(Some(code), "x"), SendError::Unreachable(format!("{code} x")));
        }
        assert_eq!(judge(None, "connection refused"), SendError::Unreachable("connection refused".to_owned()));
    }

    #[test]
    fn an_answer_is_one_short_line() {
        let SendError::Permanent(text) = judge(Some(550), &format!("\u{1b}[31m{}\r\nsecond", "é".repeat(500))) else {
            panic!("550 is for good");
        };
        assert_eq!(text.chars().count(), "550 ".len() + MAX_ANSWER);
        assert!(!text.chars().any(char::is_control));
        assert_eq!(judge(Some(550), ""), SendError::Permanent("550".to_owned()));
    }
}
