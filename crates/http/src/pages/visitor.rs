use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::HeaderMap;
use axum::http::header::REFERER;
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::response::{IntoResponse, Response};
use doorward_auth::{Auth, DeviceToken, RegistrationMode, Resume, ResumeError, SessionGrant};
use doorward_domain::{Client, EventReason, User};
use secrecy::SecretString;
use uuid::Uuid;

use super::answer::ForAnswer;
use super::page::{Page, see_other};
use super::{Pages, next};
use crate::client::ComesFrom;
use crate::config::HttpConfig;
use crate::owner::id_in_path;
use crate::problem::{Kind, Problem};
use crate::{CurrentUser, cookie, origin, parameters};

/// Who looks at a page: the user whose session the request's cookie belongs to, or nobody.
///
/// A request that may change something is refused unless one of the service's own pages made it, so a handler that takes a
/// visitor cannot be reached from another site. A session that it is time to extend is extended, and a cookie of a session
/// that is over is taken back.
#[derive(Debug)]
pub struct Visitor {
    auth: Auth,
    config: Arc<HttpConfig>,
    pages: Arc<Pages>,
    session: Option<(CurrentUser, User)>,
    client: Client,
    language: String,
    answer: ForAnswer,
    query: Vec<(String, String)>,
    /// Whether the query may say what has just been done: not where another site has sent the visitor.
    done: bool,
}

/// A [`Visitor`] who is somebody. Anybody else is sent to the log-in page, and back afterwards.
#[derive(Debug)]
pub struct PageUser {
    visitor: Visitor,
    user: CurrentUser,
    account: User,
}

/// A [`PageUser`], and the path's parameter `id`, which may name something that the user owns. What is no id names nothing.
#[derive(Debug)]
pub struct PageItem {
    user: PageUser,
    id: Uuid,
}

impl Visitor {
    /// The page of the template `name.html`, in the visitor's language.
    #[must_use]
    pub fn page(&self, template: &'static str) -> Page {
        let registration = self.auth.registration_mode() != RegistrationMode::Closed;
        Page::new(&self.config, &self.pages, &self.language, template)
            .shown_to(self.session.as_ref().map(|(_, account)| account))
            .rules(registration, self.auth.shortest_password())
            .done(self.done.then(|| self.query("done")).flatten())
    }

    /// The answer that sends the visitor to a path of this service.
    #[must_use]
    pub fn redirect(&self, path: &str) -> Response {
        see_other(&format!("{}{path}", self.config.base()))
    }

    /// The parameter of the query, if it is there once.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Where the request came from.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// The page that says that a mail is on its way, if there is anybody to send it to.
    pub(super) fn sent(&self, what: &str) -> Page {
        let say = |text| self.text(&["sent", what, text]);
        self.page("message").with("title", say("title")).with("text", say("text")).with("link", ())
    }

    /// A link to where this visitor goes on; none where there are no such pages.
    pub(super) fn way_on(&self) -> Option<BTreeMap<&'static str, String>> {
        let (path, text) = match self.session {
            _ if !self.pages.enabled() => return None,
            Some(_) => ("/account", "to_account"),
            None => ("/login", "to_login"),
        };
        let url = format!("{}{path}", self.config.base());
        Some(BTreeMap::from([("url", url), ("text", self.text(&["common", text]))]))
    }

    /// The refresh token of the session that the browser keeps, live or not.
    pub(super) fn refresh_token(&self, headers: &HeaderMap) -> Option<SecretString> {
        cookie::refresh_token(headers, &self.config)
    }

    /// The text at a place of the visitor's language.
    pub(super) fn text(&self, place: &[&str]) -> String {
        self.pages.texts.named(&self.language).text(place)
    }

    pub(super) fn find_text(&self, place: &[&str]) -> Option<String> {
        self.pages.texts.named(&self.language).find(place)
    }

    pub(super) const fn auth(&self) -> &Auth {
        &self.auth
    }

    pub(super) const fn account(&self) -> Option<&User> {
        match &self.session {
            Some((_, account)) => Some(account),
            None => None,
        }
    }

    pub(super) fn pages(&self) -> &Pages {
        &self.pages
    }

    /// Where to go after a log-in that was asked for on the way to `next`.
    pub(super) fn onward(&self, next: Option<&str>) -> Response {
        match next.and_then(|next| next::parse(next, &self.config.public_url)) {
            Some(next) => see_other(&next),
            None => self.redirect(self.pages.home()),
        }
    }

    /// The same as a text for a form, if it leads anywhere.
    pub(super) fn next<'a>(&self, next: Option<&'a str>) -> Option<&'a str> {
        next.filter(|next| next::parse(next, &self.config.public_url).is_some())
    }

    /// Hands the browser the session that has begun.
    pub(super) fn keep(&self, grant: &SessionGrant) {
        self.answer.left().cookie = cookie::hand_out(&grant.refresh_token, grant.refresh_expires_in, &self.config);
        if let Some(device) = &grant.device_token {
            self.know_device(device);
        }
    }

    /// Has the browser known again as this device.
    pub(super) fn know_device(&self, device: &DeviceToken) {
        self.answer.left().device = cookie::know_device(&self.auth.device_token_text(device), &self.config);
    }

    /// What the browser shows to be known again.
    pub(super) fn device_token(&self, headers: &HeaderMap) -> Option<SecretString> {
        cookie::device_token(headers, &self.config)
    }

    /// Takes the session's cookie back.
    pub(super) fn forget(&self) {
        let mut left = self.answer.left();
        left.cookie = cookie::take_back(&self.config);
        left.user = None;
    }

    /// Finds out anew, where a use case may have ended the session; a cookie that has served its time is taken back.
    pub(super) async fn look_again(&mut self, headers: &HeaderMap) -> Result<(), Problem> {
        if self.session.take().is_some() {
            self.forget();
            self.resume(headers).await?;
            if self.session.is_some() {
                // It goes on, as it is or with the token that takes its place.
                self.answer.left().cookie.take_if(|cookie| !cookie::hands_out(cookie));
            }
        }
        Ok(())
    }

    async fn resume(&mut self, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(refresh_token) = self.refresh_token(headers) else { return Ok(()) };
        match self.auth.resume(Resume { refresh_token }, &self.client).await {
            Ok(resumed) => {
                if let Some(grant) = &resumed.rotated {
                    self.keep(grant);
                }
                self.answer.left().user = Some(resumed.account.clone());
                self.session = Some((CurrentUser::from(resumed.user), resumed.account));
            }
            // A cookie that is worth nothing does no harm. To take it back could take the one that a log-in in another tab
            // has set meanwhile.
            Err(ResumeError::InvalidRefreshToken) => {}
            Err(ResumeError::Stale) => return Err(Kind::Unavailable.into()),
            Err(ResumeError::Fault(fault)) => return Err(fault.into()),
        }
        Ok(())
    }
}

impl PageUser {
    /// The user, as an access token of the session names them.
    #[must_use]
    pub const fn user(&self) -> &CurrentUser {
        &self.user
    }

    /// The user's account.
    #[must_use]
    pub const fn account(&self) -> &User {
        &self.account
    }

    /// The answer to a request for something that the user does not have, which goes on record: it may be somebody
    /// else's.
    pub async fn not_found(&self) -> Problem {
        let reason = EventReason::UnknownResource;
        match self.auth.record_refused_access(&self.user, reason, &self.client).await {
            Ok(()) => Kind::NotFound.into(),
            Err(fault) => fault.into(),
        }
    }
}

impl Deref for PageUser {
    type Target = Visitor;

    fn deref(&self) -> &Visitor {
        &self.visitor
    }
}

impl<S> FromRequestParts<S> for Visitor
where
    S: Send + Sync,
    Auth: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let config = parts.extensions.get::<Arc<HttpConfig>>().cloned();
        let pages = config.as_ref().and_then(|config| config.pages.clone());
        let (Some(config), Some(pages)) = (config, pages) else {
            tracing::error!("a page was asked for outside of Doorward's routes, or without pages");
            return Err(Kind::Internal.into());
        };
        if !parts.method.is_safe() {
            origin::check(&parts.headers, &config)?;
        }
        let mut visitor = Self {
            auth: Auth::from_ref(state),
            config,
            client: ComesFrom::of(parts).0,
            session: None,
            language: String::new(),
            answer: parts.extensions.get::<ForAnswer>().cloned().unwrap_or_default(),
            query: parameters::unique_pairs(parts.uri.query().unwrap_or_default().as_bytes()).unwrap_or_default(),
            done: parts.headers.get("sec-fetch-site").is_none_or(|site| site == "same-origin" || site == "none"),
            pages,
        };
        visitor.resume(&parts.headers).await?;
        let own = visitor.account().and_then(|account| account.locale.as_ref());
        visitor.language = visitor.pages.texts.choose(own, &parts.headers).locale.as_str().to_owned();
        Ok(visitor)
    }
}

impl<S> FromRequestParts<S> for PageUser
where
    S: Send + Sync,
    Auth: FromRef<S>,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let visitor = Visitor::from_request_parts(parts, state).await.map_err(IntoResponse::into_response)?;
        match visitor.session.clone() {
            Some((user, account)) => Ok(Self { visitor, user, account }),
            // Nobody can come back to where a form was sent, but to the page that it was on.
            None if !parts.method.is_safe() => Err(visitor.redirect(&to_log_in(form_page(parts, &visitor.config)))),
            None => {
                let target = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
                Err(visitor.redirect(&to_log_in(Some(format!("{}{target}", visitor.config.base())))))
            }
        }
    }
}

impl Deref for PageItem {
    type Target = PageUser;

    fn deref(&self) -> &PageUser {
        &self.user
    }
}

impl PageItem {
    /// The id that the path names.
    #[must_use]
    pub const fn id(&self) -> Uuid {
        self.id
    }
}

impl<S> FromRequestParts<S> for PageItem
where
    S: Send + Sync,
    Auth: FromRef<S>,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let user = PageUser::from_request_parts(parts, state).await?;
        match id_in_path(parts).await {
            Some(id) => Ok(Self { user, id }),
            None => Err(user.not_found().await.into_response()),
        }
    }
}

/// The log-in page for whoever was on the way to this path.
fn to_log_in(next: Option<String>) -> String {
    let Some(next) = next else { return "/login".to_owned() };
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("next", &next);
    format!("/login?{}", query.finish())
}

/// The path of the page that a form was on, where the browser names one of this service.
fn form_page(parts: &Parts, config: &HttpConfig) -> Option<String> {
    let referrer = url::Url::parse(parts.headers.get(REFERER)?.to_str().ok()?).ok()?;
    (referrer.origin() == config.public_url.origin()).then(|| referrer.path().to_owned())
}
