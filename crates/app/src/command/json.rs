//! What the tools say to other programs.

use serde::Serialize;

/// A value as JSON over several lines, for whoever asked for `--json`.
pub(super) fn pretty(value: &impl Serialize) -> serde_json::Result<String> {
    serde_json::to_string_pretty(value).map(|json| harmless(&json))
}

/// A value as JSON on one line.
pub(super) fn line(value: &impl Serialize) -> serde_json::Result<String> {
    serde_json::to_string(value).map(|json| harmless(&json))
}

/// The same JSON without characters that a terminal obeys or that change how the others look; outside of its texts there is
/// none but the line feed, and inside `\u` stands for them (RFC 8259 section 7).
fn harmless(json: &str) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        let obeyed = character.is_control() && character != '\n';
        let unseen = matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
        if obeyed || unseen {
            // Writing to a string does not fail; all of them have four digits.
            write!(text, "\\u{:04x}", u32::from(character)).unwrap_or_default();
        } else {
            text.push(character);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_written_as_its_number() {
        let value = ["\u{9b}31m\u{7f}", "\u{202e}txt", "\u{1b}[2J", "Adèle"];
        assert_eq!(line(&value).unwrap(), r#"["\u009b31m\u007f","\u202etxt","\u001b[2J","Adèle"]"#);
        assert_eq!(serde_json::from_str::<[String; 4]>(&pretty(&value).unwrap()).unwrap(), value);
    }
}
