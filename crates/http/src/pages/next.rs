use url::Url;

/// The longest target, in bytes.
const LONGEST: usize = 512;

/// Where a visitor wants to go after logging in, as a path below the public URL, with its prefix; `None` for whatever
/// leads elsewhere (CWE-601).
///
/// What is taken is what a URL parser makes of the text and not the text itself, since browsers and servers differ in
/// what they make of slashes, backslashes and white space.
pub(super) fn parse(text: &str, public_url: &Url) -> Option<String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if !plain || text.len() > LONGEST || !text.starts_with('/') || text.starts_with("//") {
        return None;
    }
    let target = public_url.join(text).ok()?;
    let base = public_url.path().trim_end_matches('/');
    let below = target.path().strip_prefix(base)?;
    // `/.//host` is a path to a parser and, once its dots are gone, another host to a browser.
    if target.origin() != public_url.origin() || !below.starts_with('/') || target.path().starts_with("//") {
        return None;
    }
    // Going there would come back here, or end the session that has just begun.
    if ["/login", "/register", "/logout"].contains(&below) {
        return None;
    }
    let query = target.query().map(|query| format!("?{query}")).unwrap_or_default();
    Some(format!("{}{query}", target.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_paths_are_gone_to() {
        let root = Url::parse("https://auth.example.com").unwrap();
        let prefixed = Url::parse("https://example.com/auth").unwrap();
        for (text, expected) in [
            ("/tasks", "/tasks"),
            ("/tasks?completed=true&x=%2F%2Fevil", "/tasks?completed=true&x=%2F%2Fevil"),
            ("/a/../tasks", "/tasks"),
            ("/account#password", "/account"),
            ("/%5Cevil.example", "/%5Cevil.example"),
            ("/?next=https://evil.example", "/?next=https://evil.example"),
        ] {
            assert_eq!(parse(text, &root).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "",
            "tasks",
            "https://evil.example",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\/evil.example",
            "/.//evil.example",
            "/a/..//evil.example",
            "/%2e%2e//evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            " /tasks",
            "/tasks ",
            "/t\u{e4}sks",
            "javascript:alert(1)",
            "/login",
            "/login?next=/tasks",
            "/logout",
            &format!("/{}", "a".repeat(LONGEST)),
        ] {
            assert_eq!(parse(text, &root), None, "{text:?}");
        }
        assert_eq!(parse("/auth/tasks", &prefixed).as_deref(), Some("/auth/tasks"));
        for text in ["/tasks", "/authority", "/auth", "/auth/../tasks", "/auth//../..//evil.example"] {
            assert_eq!(parse(text, &prefixed), None, "{text:?}");
        }
    }
}
