//! What becomes of an answer on its way out, whichever route it is from: it gets the session's cookie, and a refusal
//! becomes a page where a browser asked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{ACCEPT, ALLOW, CONTENT_ENCODING, CONTENT_LENGTH, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use doorward_domain::{RequestId, User, UserId};
use flate2::Compression;

use super::{Page, Pages, compression};
use crate::config::HttpConfig;
use crate::problem::Problem;

/// What a request asks of the pages, whichever route answers it.
pub(crate) struct Looks {
    answer: ForAnswer,
    takes_gzip: bool,
    /// The headers of a request whose refusal is to be a page: a browser asks for one, and not of the API.
    page_for: Option<HeaderMap>,
}

/// What the handlers of a request leave for its answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct ForAnswer(Arc<Mutex<Left>>);

#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) cookie: Option<HeaderValue>,
    /// By what the browser is known again.
    pub(super) device: Option<HeaderValue>,
    /// Who was found to look.
    pub(super) user: Option<User>,
}

impl ForAnswer {
    /// Who was found to look.
    pub(super) fn user_id(&self) -> Option<UserId> {
        self.left().user.as_ref().map(|user| user.id)
    }

    pub(super) fn left(&self) -> MutexGuard<'_, Left> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A page's bytes, in the extensions of its answer, where they may be compressed: they hold no secret that somebody who
/// has a part of the page changed could learn from its length.
#[derive(Clone)]
pub(super) struct Compressible(pub(super) Bytes);

impl Looks {
    /// Takes from a request what its answer will need, and gives its handlers a place for what they leave.
    pub(crate) fn at(request: &mut Request) -> Self {
        let answer = ForAnswer::default();
        request.extensions_mut().insert(answer.clone());
        let headers = request.headers();
        let page_for = wants_page(request.uri().path(), headers).then(|| headers.clone());
        Self { answer, takes_gzip: compression::takes_gzip(headers), page_for }
    }

    /// The answer with its cookie, as a page in place of a problem where a page is wanted, and compressed where that is
    /// worth it.
    pub(crate) fn finish(self, mut response: Response, config: &HttpConfig, request_id: &RequestId) -> Response {
        let mut left = self.answer.left();
        if let (Some(pages), Some(headers)) = (&config.pages, &self.page_for)
            && let Some(problem) = response.extensions_mut().remove::<Problem>()
        {
            let allow = response.headers_mut().remove(ALLOW);
            response = error_page(config, pages, headers, left.user.as_ref(), &problem, request_id);
            response.headers_mut().extend(allow.map(|allow| (ALLOW, allow)));
        }
        for cookie in [left.cookie.take(), left.device.take()].into_iter().flatten() {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
        match response.extensions_mut().remove::<Compressible>() {
            Some(Compressible(bytes)) if self.takes_gzip => compressed(response, &bytes),
            _ => response,
        }
    }
}

fn compressed(response: Response, bytes: &[u8]) -> Response {
    let Some(gzip) = compression::gzip(bytes, Compression::fast()) else { return response };
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    Response::from_parts(parts, Body::from(gzip))
}

/// Whether a browser asks for a page, and not of the API.
pub(super) fn wants_page(path: &str, headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html")) && !path.starts_with("/api/")
}

/// The page that says what a problem says, with its status.
fn error_page(
    config: &HttpConfig,
    pages: &Arc<Pages>,
    headers: &HeaderMap,
    user: Option<&User>,
    problem: &Problem,
    request_id: &RequestId,
) -> Response {
    let language = pages.texts.choose(user.and_then(|user| user.locale.as_ref()), headers);
    let say = |what| language.text(&["problem", problem.code(), what]);
    Page::new(config, pages, language.locale.as_str(), "error")
        .shown_to(user)
        .with("status", problem.status().as_u16())
        .with("title", say("title"))
        .with("text", say("text"))
        .with("request_id", request_id.as_str())
        .status(problem.status())
        .retry_after(problem.retry_after())
        .into_response()
}
