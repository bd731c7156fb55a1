//! Which language a client asks for.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT_LANGUAGE;
use doorward_domain::Locale;

/// The first of the available languages that the client accepts (RFC 9110 section 12.5.4), most wanted first; an exact
/// one before one that shares the language without the region.
pub(crate) fn preferred(headers: &HeaderMap, available: &[Locale]) -> Option<Locale> {
    /// More than any browser sends.
    const MOST: usize = 16;
    let header = headers.get(ACCEPT_LANGUAGE)?.to_str().ok()?;
    let mut wanted: Vec<(Locale, u16)> = header.split(',').take(MOST).filter_map(range).collect();
    wanted.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
    wanted.into_iter().find_map(|(wanted, _)| {
        let exact = available.iter().find(|locale| **locale == wanted);
        exact.or_else(|| available.iter().find(|locale| locale.as_str() == wanted.language())).cloned()
    })
}

/// A language and its weight in thousandths; `None` for one that is refused or cannot be read.
fn range(text: &str) -> Option<(Locale, u16)> {
    let (tag, parameter) = text.split_once(';').unwrap_or((text, "q=1"));
    let weight: f32 = parameter.trim().strip_prefix("q=")?.parse().ok()?;
    let locale = Locale::parse(tag.trim()).ok()?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and 1000")]
    let thousandths = (weight.clamp(0.0, 1.0) * 1000.0) as u16;
    (thousandths > 0).then_some((locale, thousandths))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_most_wanted_language_that_there_is_wins() {
        let available: Vec<Locale> = ["en", "de", "pt-br"].iter().map(|text| Locale::parse(text).unwrap()).collect();
        for (header, expected) in [
            ("de", Some("de")),
            ("fr, de;q=0.9, en;q=0.8", Some("de")),
            ("en;q=0.1, de-AT;q=0.2", Some("de")),
            ("pt-BR,en;q=0.5", Some("pt-br")),
            ("pt", None),
            ("de;q=0, en;q=0.3", Some("en")),
            ("*", None),
            ("", None),
            ("../../etc/passwd, de;q=abc", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_LANGUAGE, HeaderValue::from_static(header));
            assert_eq!(preferred(&headers, &available).as_ref().map(Locale::as_str), expected, "{header}");
        }
    }
}
