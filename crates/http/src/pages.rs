//! What people see: the pages for registering, logging in, the account, and the links of mails.
//!
//! Pages are made on the server and need no script; `pages.js` sends their forms without a reload where it may run. Who
//! looks at one is known by the session's cookie ([`Visitor`], [`PageUser`]).
//!
//! Other crates bring pages of their own in the same look: a [`PageSet`] of templates, texts and assets, and handlers
//! that take a [`Visitor`] or a [`PageUser`] and answer with a [`Page`].
//!
//! # Where to look
//!
//! | for | see |
//! |---|---|
//! | who looks, and what a cookie is worth | `visitor.rs` |
//! | how a template becomes an answer | `page.rs`, `templates.rs` |
//! | how a refusal becomes a page, and an answer gets the cookie | `answer.rs` |
//! | words and languages | `texts.rs` |
//! | name, logo, colours, links | `look.rs` |
//! | stylesheets and scripts | `assets.rs` |
//! | where a visitor goes after a log-in | `next.rs` |
//! | a page's handlers | `entry.rs`, `mailed.rs`, `account.rs` |

mod account;
mod answer;
mod assets;
mod compression;
mod entry;
mod form;
mod look;
mod mailed;
mod next;
mod page;
mod templates;
mod texts;
mod visitor;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRef as _, FromRequestParts as _, Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use doorward_domain::Locale;
use thiserror::Error;

pub(crate) use answer::Looks;
pub use form::Form;
pub use look::{Colour, InvalidColour, Logo, Look};
pub use page::Page;
pub use visitor::{PageItem, PageUser, Visitor};

use crate::config::HttpConfig;
use crate::problem::{Kind, Problem};
use crate::routes::Shared;
use answer::wants_page;
use assets::Assets;
use templates::Templates;
use texts::Texts;

/// How the pages look and which there are.
///
/// # Defaults
///
/// All of them, called Doorward, in blue, with the built-in templates and texts.
#[derive(Clone, Debug)]
pub struct PageSettings {
    /// Whether people register, log in and see their account here. The pages behind mailed links are there either way.
    pub enabled: bool,
    /// The name, the logo, the colours and the links.
    pub look: Look,
    /// A folder with templates and texts that take the place of built-in ones.
    pub templates: Option<PathBuf>,
}

impl Default for PageSettings {
    fn default() -> Self {
        Self { enabled: true, look: Look::default(), templates: None }
    }
}

/// Templates, texts and assets that belong together. Each is known by its file name.
#[derive(Clone, Copy, Debug)]
pub struct PageSet {
    /// `name.html` and its source.
    pub templates: &'static [(&'static str, &'static str)],
    /// A language (`en`) and its texts in TOML.
    pub texts: &'static [(&'static str, &'static str)],
    /// `name.css`, `name.js` or `name.svg` and its content.
    pub assets: &'static [(&'static str, &'static str)],
}

const OWN: PageSet = PageSet {
    templates: &[
        ("layout.html", include_str!("../templates/layout.html")),
        ("macros.html", include_str!("../templates/macros.html")),
        ("account.html", include_str!("../templates/account.html")),
        ("confirm.html", include_str!("../templates/confirm.html")),
        ("error.html", include_str!("../templates/error.html")),
        ("forgot_password.html", include_str!("../templates/forgot_password.html")),
        ("login.html", include_str!("../templates/login.html")),
        ("logout.html", include_str!("../templates/logout.html")),
        ("message.html", include_str!("../templates/message.html")),
        ("register.html", include_str!("../templates/register.html")),
        ("verify_email.html", include_str!("../templates/verify_email.html")),
    ],
    texts: &[("en", include_str!("../texts/en.toml")), ("de", include_str!("../texts/de.toml"))],
    assets: &[
        ("doorward.css", include_str!("../assets/doorward.css")),
        ("icon.svg", include_str!("../assets/icon.svg")),
        ("doorward.js", include_str!("../assets/client/doorward.js")),
        ("notice.js", include_str!("../assets/client/notice.js")),
        ("pages.js", include_str!("../assets/pages.js")),
        ("proof.js", include_str!("../assets/client/proof.js")),
        ("meter.js", include_str!("../assets/meter.js")),
        ("zxcvbn.js", include_str!("../assets/zxcvbn.js")),
    ],
};

/// Why pages cannot be shown with these settings.
#[derive(Debug, Error)]
pub enum PagesError {
    /// A file or the folder cannot be read.
    #[error("{} cannot be read", .path.display())]
    Unreadable {
        /// The file or the folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file does not work.
    #[error("the page file {file} does not work: {problem}")]
    Broken {
        /// The file, by its name.
        file: String,
        /// What is wrong with it, and where.
        problem: String,
    },
}

impl PagesError {
    fn broken(file: impl Into<String>, problem: impl fmt::Display) -> Self {
        Self::Broken { file: file.into(), problem: problem.to_string() }
    }
}

/// Everything that pages are made of, read and checked.
pub struct Pages {
    enabled: bool,
    look: Look,
    templates: Templates,
    texts: Texts,
    assets: Assets,
    /// Whether there is a page with the user's tasks to link to.
    has_tasks: bool,
}

impl Pages {
    /// Reads the built-in files, those of `sets`, and the operator's own, and tries them out. Blocks meanwhile.
    ///
    /// # Errors
    ///
    /// [`PagesError`] names the file that is broken, unreadable or unknown.
    pub fn new(settings: PageSettings, sets: &[PageSet]) -> Result<Self, PagesError> {
        let mut own = match &settings.templates {
            Some(folder) => own_files(folder)?,
            None => BTreeMap::new(),
        };
        let sets: Vec<PageSet> = std::iter::once(OWN).chain(sets.iter().copied()).collect();
        let texts = Texts::new(&sets, &mut own)?;
        let templates = Templates::new(&sets, &mut own, &texts.choose(None, &HeaderMap::new()).value)?;
        if let Some(file) = own.keys().next() {
            return Err(PagesError::broken(file, "there is no such template, and a language is called like fr.toml"));
        }
        Ok(Self {
            enabled: settings.enabled,
            assets: Assets::new(&sets, &settings.look, &texts),
            has_tasks: sets.iter().any(|set| set.templates.iter().any(|(name, _)| *name == "tasks.html")),
            look: settings.look,
            templates,
            texts,
        })
    }

    /// The languages that pages are written in.
    #[must_use]
    pub fn languages(&self) -> Vec<Locale> {
        self.texts.languages()
    }

    /// Whether people register, log in and see their account here.
    #[must_use]
    pub const fn enabled(&self) -> bool {
        self.enabled
    }

    /// Where a user begins.
    const fn home(&self) -> &'static str {
        if self.has_tasks { "/tasks" } else { "/account" }
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("enabled", &self.enabled).field("look", &self.look).finish_non_exhaustive()
    }
}

/// The operator's files by name.
fn own_files(folder: &std::path::Path) -> Result<BTreeMap<String, String>, PagesError> {
    let unreadable = |path: PathBuf| move |source| PagesError::Unreadable { path, source };
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable(folder.to_owned()))? {
        let path = entry.map_err(unreadable(folder.to_owned()))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        // What editors and version control leave behind.
        if name.starts_with('.') || name.ends_with('~') {
            continue;
        }
        files.insert(name, std::fs::read_to_string(&path).map_err(unreadable(path.clone()))?);
    }
    Ok(files)
}

/// The routes of the pages.
pub(crate) fn routes(pages: &Pages) -> Router<Shared> {
    let router = Router::new().merge(mailed::routes()).merge(assets::routes());
    if !pages.enabled() {
        return router;
    }
    router
        .route("/register", get(entry::register_page).post(entry::register))
        .route("/login", get(entry::login_page).post(entry::login))
        .route("/logout", get(entry::logout_page).post(entry::logout))
        .route("/forgot-password", get(mailed::forgot_page).post(mailed::forgot))
        .route("/account", get(account::page))
        .route("/account/profile", post(account::rename))
        .route("/account/email", post(account::change_email))
        .route("/account/password", post(account::change_password))
        .route("/account/sessions/end", post(account::end_session))
        .route("/account/sessions/end-all", post(account::end_all))
        .route("/account/delete", post(account::delete))
        .route("/.well-known/change-password", get(change_password))
}

/// Where password managers send people (W3C, A Well-Known URL for Changing Passwords).
async fn change_password(State(config): State<Arc<HttpConfig>>) -> Response {
    page::see_other(&format!("{}/account#password", config.base()))
}

/// The answer to what is not there. The bare address leads to the pages, unless whoever embeds them has something there.
pub(crate) async fn nothing_here(State(shared): State<Shared>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let config = Arc::<HttpConfig>::from_ref(&shared);
    match &config.pages {
        Some(pages) if pages.enabled() && parts.uri.path() == "/" => {
            return page::see_other(&format!("{}{}", config.base(), pages.home()));
        }
        Some(_) if parts.method.is_safe() && wants_page(parts.uri.path(), &parts.headers) => {
            // A user who has lost their way is shown the way back.
            if let Err(problem) = Visitor::from_request_parts(&mut parts, &shared).await {
                return problem.into_response();
            }
        }
        _ => {}
    }
    Problem::from(Kind::NotFound).into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use axum::http::header::ACCEPT_LANGUAGE;
    use doorward_domain::{EventKind, OneTimePurpose};

    use super::*;

    #[test]
    fn every_template_can_be_copied_and_changed() {
        for (name, source) in OWN.templates {
            let folder = std::env::temp_dir().join(format!("doorward-templates-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&folder).unwrap();
            let own = |source: &str| {
                std::fs::write(folder.join(name), source).unwrap();
                let settings = PageSettings { templates: Some(folder.clone()), ..PageSettings::default() };
                Pages::new(settings, &[]).map(|_| ()).map_err(|error| error.to_string())
            };
            let copied = own(source);
            let broken = own(&source.replacen("{% block main %}", "{% block main %}{{ page.nonsense }}", 1));
            let strange = own(&source.replacen("{% block main %}", "{% block main %}{{ asset('none.css') }}", 1));
            std::fs::remove_dir_all(&folder).unwrap();
            assert_eq!(copied, Ok(()), "{name}");
            if source.contains("{% block main %}") {
                assert!(broken.is_err_and(|error| error.contains(name)), "{name}");
                assert!(strange.is_err_and(|error| error.contains("none.css")), "{name}");
            }
        }
    }

    /// What handlers say by name, which no template names.
    #[test]
    fn every_text_that_the_code_names_is_there_in_every_language() {
        let pages = Pages::new(PageSettings::default(), &[]).unwrap();
        let mut places: Vec<Vec<&str>> = Vec::new();
        for kind in Kind::ALL {
            let code = Problem::from(kind).code();
            places.extend([vec!["problem", code, "title"], vec!["problem", code, "text"]]);
        }
        for code in [
            "logged_out",
            "email_verified",
            "password_set",
            "email_changed",
            "email_restored",
            "profile_saved",
            "password_changed",
            "session_ended",
            "sessions_ended",
            "account_deleted",
        ] {
            places.push(vec!["done", code]);
        }
        for sent in ["register", "forgot_password", "verify_email", "change_email"] {
            places.extend([vec!["sent", sent, "title"], vec!["sent", sent, "text"]]);
        }
        for purpose in OneTimePurpose::ALL {
            places.extend(["title", "text", "button"].map(|what| vec!["confirm", purpose.as_str(), what]));
        }
        // What only operators do concerns no user, or nobody who can still look.
        let unseen =
            ["key_rotate", "key_revoke", "key_reseal", "account_deletion", "mail_retry", "mail_drop", "request"];
        for kind in EventKind::ALL.iter().map(|kind| kind.as_str()).filter(|kind| !unseen.contains(kind)) {
            places.push(vec!["event", kind]);
        }
        for code in [
            "required",
            "too_short",
            "too_long",
            "too_common",
            "contains_context",
            "invalid_email",
            "invalid_character",
            "wrong_type",
            "unknown_field",
            "wrong_password",
            "password_too_short",
        ] {
            places.push(vec!["field", code]);
        }
        places.extend([vec!["common", "to_login"], vec!["common", "to_account"], vec!["common", "date"]]);
        for word in [
            "label",
            "score_0",
            "score_1",
            "score_2",
            "score_3",
            "score_4",
            "common",
            "word",
            "names",
            "own",
            "dates",
            "keys",
            "repeats",
            "sequences",
            "more",
        ] {
            places.push(vec!["meter", word]);
        }
        places.push(vec!["common", "checking"]);
        for name in ["en", "de"] {
            let headers = HeaderMap::from_iter([(ACCEPT_LANGUAGE, HeaderValue::from_static(name))]);
            let language = pages.texts.choose(None, &headers);
            assert_eq!(language.locale.as_str(), name);
            for place in &places {
                assert!(language.find(place).is_some_and(|text| !text.is_empty()), "{name}: {place:?}");
            }
        }
    }
}
