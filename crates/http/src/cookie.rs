use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use cookie::{Cookie, SameSite};
use doorward_auth::RefreshToken;
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;

use crate::config::HttpConfig;

/// The cookie's name over TLS. The prefix has browsers insist on `Secure`, `Path=/` and no `Domain`, so that no
/// neighbouring host can set it (RFC 6265bis section 4.1.3.2).
const SECURE_NAME: &str = "__Host-doorward";
/// The cookie's name over plain HTTP, which is for development alone.
const PLAIN_NAME: &str = "doorward";

/// What is added to the name of the cookie by which a device is known again.
const DEVICE: &str = "-device";
/// How long a device is known without a log-in: as long as browsers keep a cookie (RFC 6265bis section 5.5).
const DEVICE_LIFETIME: Duration = Duration::from_hours(400 * 24);

/// The refresh token that a browser sends, if it does.
pub(crate) fn refresh_token(headers: &HeaderMap, config: &HttpConfig) -> Option<SecretString> {
    value(headers, name(config))
}

/// What a browser sends to be known again, if it does.
pub(crate) fn device_token(headers: &HeaderMap, config: &HttpConfig) -> Option<SecretString> {
    value(headers, &device_name(config))
}

/// The `Set-Cookie` by which a device is known again; `None` when it would not be a header.
pub(crate) fn know_device(token: &SecretString, config: &HttpConfig) -> Option<HeaderValue> {
    set_cookie(&device_name(config), token.expose_secret(), DEVICE_LIFETIME, config)
}

fn value(headers: &HeaderMap, name: &str) -> Option<SecretString> {
    // Pair by pair: what a neighbour has set need not be ASCII, and is nobody's reason to be logged out.
    let lines = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    lines
        .flat_map(|line| line.split(|byte| *byte == b';'))
        .filter_map(|pair| std::str::from_utf8(pair).ok()?.trim().split_once('='))
        .find(|(known, _)| *known == name)
        .map(|(_, value)| SecretString::from(value.to_owned()))
}

/// The `Set-Cookie` that hands a refresh token to a browser; `None` when it would not be a header.
pub(crate) fn hand_out(token: &RefreshToken, lifetime: Duration, config: &HttpConfig) -> Option<HeaderValue> {
    set_cookie(name(config), token.to_text().expose_secret(), lifetime, config)
}

/// The `Set-Cookie` that takes it back.
pub(crate) fn take_back(config: &HttpConfig) -> Option<HeaderValue> {
    set_cookie(name(config), "", Duration::ZERO, config)
}

/// Whether a `Set-Cookie` hands a token out, rather than taking one back.
#[cfg(feature = "pages")]
pub(crate) fn hands_out(cookie: &HeaderValue) -> bool {
    let pair = cookie.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    !pair.ends_with(b"=")
}

fn set_cookie(name: &str, value: &str, lifetime: Duration, config: &HttpConfig) -> Option<HeaderValue> {
    let cookie = Cookie::build((name, value))
        .http_only(true)
        .secure(config.is_https())
        .same_site(SameSite::Lax)
        .path("/")
        .max_age(lifetime.try_into().ok()?)
        .build();
    let mut header = HeaderValue::from_str(&cookie.to_string()).ok()?;
    header.set_sensitive(true);
    Some(header)
}

fn name(config: &HttpConfig) -> &'static str {
    if config.is_https() { SECURE_NAME } else { PLAIN_NAME }
}

fn device_name(config: &HttpConfig) -> String {
    format!("{}{DEVICE}", name(config))
}
