//! A user agent in a few words, so that people recognise their own devices in a list.
//!
//! Browsers have frozen all of it but the words below, so that a short table says what lists of thousands of regular
//! expressions say. What is not in the table is left out rather than guessed.

use doorward_domain::UserAgent;

/// Product names and what people call them. The first one that a user agent has counts: most browsers present
/// themselves as those that they descend from, too.
const BROWSERS: &[(&str, &str)] = &[
    ("Edg", "Edge"),
    ("EdgA", "Edge"),
    ("EdgiOS", "Edge"),
    ("Edge", "Edge"),
    ("OPR", "Opera"),
    ("OPX", "Opera"),
    ("OPT", "Opera"),
    ("Opera", "Opera"),
    ("Vivaldi", "Vivaldi"),
    ("YaBrowser", "Yandex Browser"),
    ("SamsungBrowser", "Samsung Internet"),
    ("DuckDuckGo", "DuckDuckGo"),
    ("Ddg", "DuckDuckGo"),
    ("UCBrowser", "UC Browser"),
    ("Whale", "Whale"),
    ("Focus", "Firefox Focus"),
    ("FxiOS", "Firefox"),
    ("SeaMonkey", "SeaMonkey"),
    ("Firefox", "Firefox"),
    ("Electron", "An app"),
    ("CriOS", "Chrome"),
    ("HeadlessChrome", "Chrome"),
    ("Chrome", "Chrome"),
    ("Chromium", "Chromium"),
    ("Trident", "Internet Explorer"),
    ("MSIE", "Internet Explorer"),
    ("Epiphany", "Epiphany"),
    ("Konqueror", "Konqueror"),
    // Nearly everybody claims to be Safari.
    ("Safari", "Safari"),
];

/// Words and the system that they tell of; the first one counts, since Android says that it is Linux, and an iPhone
/// that it is like a Mac.
const SYSTEMS: &[(&str, &str)] = &[
    ("Windows Phone", "Windows Phone"),
    ("Windows", "Windows"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("iPod", "iPod"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Macintosh", "macOS"),
    ("Mac OS X", "macOS"),
    ("Darwin", "an Apple device"),
    ("PlayStation", "PlayStation"),
    ("Xbox", "Xbox"),
    ("Nintendo", "Nintendo"),
    ("Tizen", "Tizen"),
    ("Linux", "Linux"),
    ("FreeBSD", "FreeBSD"),
    ("OpenBSD", "OpenBSD"),
    ("NetBSD", "NetBSD"),
];

/// The longest name of a program that is repeated.
const LONGEST_NAME: usize = 32;

/// "Firefox on Linux", or as much of that as can be told; `None` where nothing can.
pub(crate) fn describe(user_agent: &UserAgent) -> Option<String> {
    let text = user_agent.as_str();
    let system = SYSTEMS.iter().find(|(word, _)| text.contains(word)).map(|(_, system)| *system);
    match (program(text), system) {
        (Some(program), Some(system)) => Some(format!("{program} on {system}")),
        (Some(name), None) | (None, Some(name)) => Some(name.to_owned()),
        (None, None) => None,
    }
}

fn program(text: &str) -> Option<&str> {
    let browser = BROWSERS.iter().find(|(name, _)| has_product(text, name)).map(|(_, browser)| *browser);
    browser.or_else(|| own_name(text))
}

/// Whether a user agent names this product, with its version after `/`, or after a space as Internet Explorer has it.
fn has_product(text: &str, name: &str) -> bool {
    text.split([' ', ';', '(', ')']).any(|word| {
        let rest = word.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with('/') || rest.is_empty() && name == "MSIE")
    })
}

/// What a program that is no browser calls itself: `curl` in `curl/8.5.0`. Only a plain word, since it is shown to
/// somebody who has to trust what they see.
fn own_name(text: &str) -> Option<&str> {
    let (name, _) = text.split_once('/')?;
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    (plain && (1..=LONGEST_NAME).contains(&name.len()) && name != "Mozilla").then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_agent_is_told_in_a_few_words() {
        let webkit = "AppleWebKit/537.36 (KHTML, like Gecko)";
        let apple = "AppleWebKit/605.1.15 (KHTML, like Gecko)";
        let windows = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)";
        let mac = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)";
        let android = "Mozilla/5.0 (Linux; Android 10; K)";
        let iphone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X)";
        let ipad = "Mozilla/5.0 (iPad; CPU OS 18_5 like Mac OS X)";
        for (user_agent, expected) in [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
            ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Windows"),
            ("Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0", "Firefox on Android"),
            (&format!("{iphone} {apple} FxiOS/140.0 Mobile/15E148 Safari/605.1.15"), "Firefox on iPhone"),
            (&format!("{windows} {webkit} Chrome/138.0.0.0 Safari/537.36"), "Chrome on Windows"),
            (&format!("{android} {webkit} Chrome/138.0.0.0 Mobile Safari/537.36"), "Chrome on Android"),
            (&format!("{ipad} {apple} CriOS/138.0.7204.33 Mobile/15E148 Safari/604.1"), "Chrome on iPad"),
            (
                &format!("Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {webkit} Chrome/138.0.0.0 Safari/537.36"),
                "Chrome on ChromeOS",
            ),
            (&format!("{windows} {webkit} Chrome/138.0.0.0 Safari/537.36 Edg/138.0.0.0"), "Edge on Windows"),
            (&format!("{mac} {webkit} Chrome/138.0.0.0 Safari/537.36 OPR/120.0.0.0"), "Opera on macOS"),
            (
                &format!("{android} {webkit} SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36"),
                "Samsung Internet on Android",
            ),
            (&format!("{mac} {apple} Version/18.5 Safari/605.1.15"), "Safari on macOS"),
            (&format!("{iphone} {apple} Version/18.5 Mobile/15E148 Safari/604.1"), "Safari on iPhone"),
            (&format!("{iphone} {apple} Mobile/15E148"), "iPhone"),
            ("Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko", "Internet Explorer on Windows"),
            ("Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1)", "Internet Explorer on Windows"),
            ("Notes/42 CFNetwork/1568.200.51 Darwin/24.1.0", "Notes on an Apple device"),
            ("okhttp/4.12.0", "okhttp"),
            ("curl/8.5.0", "curl"),
            ("PostmanRuntime/7.43.0", "PostmanRuntime"),
        ] {
            let described = describe(&UserAgent::sanitized(user_agent));
            assert_eq!(described.as_deref(), Some(expected), "{user_agent}");
        }
    }

    #[test]
    fn what_cannot_be_told_is_not_guessed_and_never_repeated() {
        for user_agent in [
            "",
            " ",
            "a browser",
            "Mozilla/5.0",
            "Mozilla/5.0 (compatible)",
            "<script>alert(1)</script>",
            "Ihr\u{a0}Administrator",
            "\u{202e}ruoy",
            &"x".repeat(256),
        ] {
            assert_eq!(describe(&UserAgent::sanitized(user_agent)), None, "{user_agent}");
        }
        let claims = describe(&UserAgent::sanitized("NotFirefox/1 (X11; Linux) MyChrome/2"));
        assert_eq!(claims.as_deref(), Some("NotFirefox on Linux"));
    }
}
