use axum::http::HeaderMap;
use axum::http::header::ORIGIN;

use crate::config::HttpConfig;
use crate::problem::{Kind, Problem};

/// Refuses a request that sets or uses the session cookie unless a page of a configured origin made it
/// (ASVS 3.5.1).
///
/// Every browser sends `Origin` with a POST. Where it does not come, `Sec-Fetch-Site` has to say that the page
/// was the service's own. A request with neither did not come from a browser and has no business with cookies.
pub(crate) fn check(headers: &HeaderMap, config: &HttpConfig) -> Result<(), Problem> {
    let mut origins = headers.get_all(ORIGIN).iter();
    let allowed = match (origins.next(), origins.next()) {
        (Some(origin), None) => config.cookie_origins.contains(origin),
        (None, _) => headers.get("sec-fetch-site").is_some_and(|site| site == "same-origin"),
        (Some(_), Some(_)) => false,
    };
    if allowed { Ok(()) } else { Err(Kind::CsrfRejected.into()) }
}
