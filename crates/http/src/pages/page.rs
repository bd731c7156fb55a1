use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use axum::http::header::{CONTENT_SECURITY_POLICY, LOCATION, REFERRER_POLICY, RETRY_AFTER, VARY};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use bytes::Bytes;
use doorward_domain::{DisplayName, PasswordPolicy, User};
use minijinja::value::Object;
use minijinja::{HtmlEscape, Value, context};
use serde::Serialize;

use super::Pages;
use super::answer::Compressible;
use super::form::{FOR_USER, Form};
use crate::config::HttpConfig;
use crate::problem::Problem;

/// Scripts and styles come from files alone, and nothing from elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// In which a page says what a script has to solve; a problem says so in its members.
const CHALLENGE: HeaderName = HeaderName::from_static("doorward-challenge");

/// An answer that is a page: a template, and what it is filled with, which is escaped as HTML.
///
/// Every template also knows the service's look, the texts of the visitor's language, and who looks.
pub struct Page {
    pages: Arc<Pages>,
    /// The path of the public URL, without a slash at the end.
    base: String,
    language: String,
    template: &'static str,
    status: StatusCode,
    retry_after: Option<HeaderValue>,
    /// What a script has to solve.
    challenge: Option<HeaderValue>,
    user: Option<Value>,
    registration: bool,
    shortest_password: usize,
    model: BTreeMap<&'static str, Value>,
}

impl Page {
    /// The template `name.html` in a language, for nobody in particular.
    pub(super) fn new(config: &HttpConfig, pages: &Arc<Pages>, language: &str, template: &'static str) -> Self {
        let nothing = || Value::from_object(ByField::default());
        let none = || Value::from(());
        Self {
            pages: Arc::clone(pages),
            base: config.base().to_owned(),
            language: language.to_owned(),
            template,
            status: StatusCode::OK,
            retry_after: None,
            challenge: None,
            user: None,
            registration: false,
            shortest_password: PasswordPolicy::default().min_length,
            model: BTreeMap::from([("done", none()), ("alert", none()), ("errors", nothing()), ("values", nothing())]),
        }
    }

    /// Shows it to this user.
    pub(super) fn shown_to(self, user: Option<&User>) -> Self {
        let view = |user: &User| {
            let name = user.name.as_ref().map(DisplayName::as_str);
            context! { id => user.id.to_string(), email => user.email.as_str(), name }
        };
        Self { user: user.map(view), ..self }
    }

    /// Whether anybody may register, and how many characters a password has at least.
    pub(super) fn rules(self, registration: bool, shortest_password: usize) -> Self {
        Self { registration, shortest_password, ..self }
    }

    /// How long to wait before trying again.
    pub(super) fn retry_after(self, retry_after: Option<HeaderValue>) -> Self {
        Self { retry_after, ..self }
    }

    /// What a script has to solve before the form is sent again: the challenge and its difficulty (RFC 9651).
    fn challenge(self, problem: &Problem) -> Self {
        let text = problem.member("challenge").and_then(serde_json::Value::as_str);
        let bits = problem.member("difficulty").and_then(serde_json::Value::as_u64);
        let header = text.zip(bits).map(|(text, bits)| format!("{text}; difficulty={bits}"));
        Self { challenge: header.and_then(|header| HeaderValue::try_from(header).ok()), ..self }
    }

    /// Gives the template a value under this name.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Serialize) -> Self {
        self.model.insert(name, Value::from_serialize(value));
        self
    }

    /// Answers with this status in place of 200.
    #[must_use]
    pub fn status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// Says what has just been done, by the name of a text in the section `done`; an unknown one says nothing.
    #[must_use]
    pub fn done(self, code: Option<&str>) -> Self {
        match code.and_then(|code| self.pages.texts.named(&self.language).find(&["done", code])) {
            Some(text) => self.with("done", text),
            None => self,
        }
    }

    /// Says what is wrong, with the problem's status.
    #[must_use]
    pub fn told(self, problem: &Problem) -> Self {
        let text = self.pages.texts.named(&self.language).text(&["problem", problem.code(), "text"]);
        self.with("alert", text).status(problem.status()).retry_after(problem.retry_after()).challenge(problem)
    }

    /// Shows the form again as it was sent, with what is wrong with it: at the fields where the problem names some, else
    /// above the form.
    #[must_use]
    pub fn refused(self, problem: &Problem, form: &Form) -> Self {
        let language = self.pages.texts.named(&self.language);
        let least = self.shortest_password;
        let errors: BTreeMap<_, _> =
            problem.errors().iter().map(|error| (error.field.clone(), language.field_error(error, least))).collect();
        let at_fields = !errors.is_empty();
        let mut page = self.told(problem);
        if at_fields {
            page = page.with("alert", ());
        }
        page.model.insert("errors", Value::from_object(ByField(errors)));
        page.model.insert("values", Value::from_object(ByField(form.values())));
        page
    }

    fn html(&self) -> Result<String, minijinja::Error> {
        let Self { pages, base, language, user, registration, .. } = self;
        let (look, texts) = (&pages.look, pages.texts.named(language));
        // Whoever the cookie belongs to by the time that a form is sent, it is sent for who is looking at it now.
        let for_user = user
            .as_ref()
            .and_then(|user| user.get_attr("id").ok())
            .map_or_else(String::new, |id| format!("<input type=\"hidden\" name=\"{FOR_USER}\" value=\"{id}\">"));
        let for_user = Value::from_safe_string(for_user);
        let page = context! {
            id => self.template,
            lang => language,
            base,
            name => look.name,
            logo => look.logo.as_ref().map(|_| format!("{base}{}", pages.assets.path("logo"))),
            imprint => look.imprint.as_ref().map(url::Url::as_str),
            privacy => look.privacy.as_ref().map(url::Url::as_str),
            registration,
            tasks => pages.has_tasks,
            user,
            for_user,
        };
        let (assets, root) = (Arc::clone(pages), base.clone());
        let asset = Value::from_function(move |name: &str| format!("{root}{}", assets.assets.path(name)));
        let (words, spoken) = (Arc::clone(pages), language.clone());
        let time = Value::from_function(move |moment: &str| {
            let text = words.texts.named(&spoken).moment(moment);
            let (moment, text) = (HtmlEscape(moment), HtmlEscape(&text));
            Value::from_safe_string(format!("<time datetime=\"{moment}\" data-local>{text}</time>"))
        });
        let model: Value = self.model.iter().map(|(name, value)| (*name, value.clone())).collect();
        let min_length = self.shortest_password;
        let context = context! { page, t => texts.value, asset, time, min_length, ..model };
        pages.templates.render(&format!("{}.html", self.template), context)
    }
}

impl fmt::Debug for Page {
    /// Without what it is filled with, which is somebody's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page").field("template", &self.template).field("status", &self.status).finish_non_exhaustive()
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let html = match self.html() {
            Ok(html) => html,
            Err(error) => {
                tracing::error!(template = self.template, error = format!("{error:#}"), "a page could not be made");
                let text = "This page cannot be shown.\n";
                return (StatusCode::INTERNAL_SERVER_ERROR, text).into_response();
            }
        };
        let html = Bytes::from(html);
        let mut response = (self.status, Html(html.clone())).into_response();
        // A token is a secret, and whoever sends the link chooses what else is in its address.
        if !self.model.contains_key("token") {
            response.extensions_mut().insert(Compressible(html));
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        headers.insert(VARY, HeaderValue::from_static("accept-encoding, accept-language, cookie"));
        // Without a referrer browsers send forms with `Origin: null`, which says nothing of where they are from.
        let referrer = if self.model.contains_key("token") { "strict-origin" } else { "same-origin" };
        headers.insert(REFERRER_POLICY, HeaderValue::from_static(referrer));
        if let Some(wait) = self.retry_after {
            headers.insert(RETRY_AFTER, wait);
        }
        if let Some(challenge) = self.challenge {
            headers.insert(CHALLENGE, challenge);
        }
        response
    }
}

/// Texts by field, with none where there is no text: a template asks for every field that it has.
#[derive(Debug, Default)]
struct ByField(BTreeMap<String, String>);

impl Object for ByField {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let text = key.as_str().and_then(|name| self.0.get(name));
        Some(text.map_or_else(|| Value::from(()), Value::from))
    }
}

/// Sends a browser on with a GET, whatever the method of its request was.
pub(super) fn see_other(to: &str) -> Response {
    let location = HeaderValue::from_str(to).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response()
}
