//! What services that verify tokens themselves have to hear: which sessions have ended and whose roles have changed.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, State};
use axum::http::Uri;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use doorward_auth::{Auth, Feed};
use secrecy::ExposeSecret;
use serde::Serialize;
use tokio::time::Instant;

use crate::client_auth::BasicClient;
use crate::config::HttpConfig;
use crate::draining::Draining;
use crate::parameters::{Parameters, Refused};
use crate::problem::{Kind, Problem};

/// How often it is looked for news while somebody waits. It costs a look into memory.
const LOOK: Duration = Duration::from_millis(200);
/// The longest that an answer may be waited for, in seconds.
const LONGEST_WAIT: u64 = 25;
/// How long before the limit on requests an answer is given all the same.
const MARGIN: Duration = Duration::from_secs(1);

/// `after`: the cursor of the answer before; `wait`: how long there may be no news before the answer comes.
pub(super) struct Wish {
    after: Option<String>,
    wait: Duration,
}

impl<S: Send + Sync> FromRequestParts<S> for Wish {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::read(&parts.uri)
    }
}

impl Wish {
    fn read(uri: &Uri) -> Result<Self, Problem> {
        let refused = || Problem::from(Kind::BadRequest).with_detail("`wait` takes whole seconds, 0 to 25");
        let query = uri.query().unwrap_or_default().as_bytes();
        let parameters = Parameters::parse(query)
            .map_err(|_| Problem::from(Kind::BadRequest).with_detail("Each parameter can be given once"))?;
        let wait = match parameters.find("wait").map(|text| text.expose_secret().parse::<u64>()) {
            None => 0,
            Some(Ok(seconds)) if seconds <= LONGEST_WAIT => seconds,
            Some(_) => return Err(refused()),
        };
        let after = parameters.find("after").map(|cursor| cursor.expose_secret().to_owned());
        Ok(Self { after, wait: Duration::from_secs(wait) })
    }
}

/// Answers as soon as there is something after the cursor, else when the time is over. A server that is about to end
/// is not held up.
pub(super) async fn revocations(
    State(auth): State<Auth>,
    State(config): State<Arc<HttpConfig>>,
    _: BasicClient,
    draining: Option<Extension<Draining>>,
    wish: Wish,
) -> Result<Response, Refused> {
    let wait = wish.wait.min(config.limits.request_timeout.saturating_sub(MARGIN));
    let until = Instant::now() + wait;
    loop {
        let feed = auth.revocation_feed(wish.after.as_deref()).map_err(Problem::from)?;
        let has_news = wish.after.as_deref() != Some(feed.cursor.as_str());
        let now = Instant::now();
        let ending = draining.as_ref().is_some_and(|Extension(draining)| draining.has_begun());
        if has_news || ending || now >= until {
            return Ok(Json(FeedView::from(&feed)).into_response());
        }
        tokio::time::sleep(LOOK.min(until.saturating_duration_since(now))).await;
    }
}

#[derive(Serialize)]
struct FeedView<'a> {
    cursor: &'a str,
    ended: Vec<EndedView>,
    roles: Vec<RolesView<'a>>,
}

#[derive(Serialize)]
struct EndedView {
    session: String,
    until: String,
}

#[derive(Serialize)]
struct RolesView<'a> {
    user: String,
    roles: &'a [String],
    until: String,
}

impl<'a> From<&'a Feed> for FeedView<'a> {
    fn from(feed: &'a Feed) -> Self {
        let ended = feed.ended.iter();
        let roles = feed.roles.iter();
        Self {
            cursor: &feed.cursor,
            ended: ended
                .map(|(session, until)| EndedView { session: session.to_string(), until: until.to_rfc3339() })
                .collect(),
            roles: roles
                .map(|(user, roles, until)| RolesView { user: user.to_string(), roles, until: until.to_rfc3339() })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &'static str) -> Option<(Option<String>, u64)> {
        let uri = Uri::from_static(query);
        Wish::read(&uri).ok().map(|wish| (wish.after, wish.wait.as_secs()))
    }

    #[test]
    fn a_wish_is_read_strictly() {
        let after = |text: &str| Some(text.to_owned());
        assert_eq!(read("/r"), Some((None, 0)));
        assert_eq!(read("/r?after="), Some((None, 0)));
        assert_eq!(read("/r?after=a%2B1&wait=25"), Some((after("a+1"), 25)));
        for query in
            ["/r?wait=26", "/r?wait=-1", "/r?wait=1.5", "/r?wait=soon", "/r?wait=1&wait=2", "/r?after=a&after=b"]
        {
            assert_eq!(read(query), None, "{query}");
        }
    }
}
