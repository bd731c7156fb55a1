/// The greatest length of a line, in code points (RFC 5322 section 2.1.1 asks for 78 at most).
pub(crate) const WIDTH: usize = 78;

/// Breaks lines between words. A word that is longer than a line is broken too, unless it is a URL, which would
/// no longer work. Of several empty lines in a row one is left, of those around the text none.
pub(crate) fn wrap(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let start = lines.len();
        for word in line.split_ascii_whitespace().flat_map(pieces) {
            match lines.get_mut(start..).and_then(<[String]>::last_mut) {
                Some(last) if length(last) + 1 + length(&word) <= WIDTH => {
                    last.push(' ');
                    last.push_str(&word);
                }
                _ => lines.push(word),
            }
        }
        if lines.len() == start && lines.last().is_some_and(|last| !last.is_empty()) {
            lines.push(String::new());
        }
    }
    lines.join("\n").trim_end().to_owned() + "\n"
}

fn pieces(word: &str) -> Vec<String> {
    if length(word) <= WIDTH || word.contains("://") {
        return vec![word.to_owned()];
    }
    let letters: Vec<char> = word.chars().collect();
    letters.chunks(WIDTH).map(|piece| piece.iter().collect()).collect()
}

fn length(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_short_and_urls_whole() {
        let url = format!("https://example.com/{}", "x".repeat(120));
        let text = format!("\n\n{}\n\n\n{url}\n\n{}\nlast\n\n", "word ".repeat(50), "é".repeat(200));
        let wrapped = wrap(&text);
        assert!(wrapped.lines().all(|line| length(line) <= WIDTH || line == url), "{wrapped}");
        assert!(wrapped.starts_with("word word") && wrapped.ends_with("\nlast\n"), "{wrapped}");
        assert!(wrapped.contains(&format!("\n\n{url}\n\n")), "{wrapped}");
    }

    #[test]
    fn a_line_ends_where_its_author_ended_it() {
        assert_eq!(wrap("one\ntwo\n\nthree"), "one\ntwo\n\nthree\n");
        assert_eq!(wrap(""), "\n");
    }
}
