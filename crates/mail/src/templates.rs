use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use doorward_domain::{ComposeError, Letter, Locale, MailComposer, Message};
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, context};
use secrecy::ExposeSecret;
use serde::Serialize;
use thiserror::Error;

use crate::language::Language;
use crate::values::{Values, fit, shows_request};
use crate::wrap::wrap;

mod check;

const LAYOUT_HTML: &str = "layout.html";
const LAYOUT_TEXT: &str = "layout.txt";
const BUILT_IN: [(&str, &str); 4] = [
    (LAYOUT_HTML, include_str!("../templates/layout.html")),
    (LAYOUT_TEXT, include_str!("../templates/layout.txt")),
    ("en.toml", include_str!("../templates/en.toml")),
    ("de.toml", include_str!("../templates/de.toml")),
];
/// The language of a reader whose own there is not.
const FALLBACK: &str = "en";
const UNKNOWN_NAME: &str = "must be called layout.html, layout.txt, or like a language in lower case: fr.toml";

/// Puts letters into words, with the built-in templates and those of the operator.
///
/// A language file (`en.toml`) holds the words, a layout (`layout.html`, `layout.txt`) their form. A file in the
/// operator's folder takes the place of the built-in one of its name; a language file of another name adds a
/// language. The built-in files show what can stand in each.
pub struct Templates {
    engine: Environment<'static>,
    service_name: String,
    public_url_host: String,
    layout_html: String,
    layout_text: String,
    languages: BTreeMap<Locale, Language>,
}

/// What the templates have to know.
#[derive(Clone, Debug)]
pub struct TemplateOptions {
    /// What the service is called in its mails.
    pub service_name: String,
    /// The host of the public URL, which makes the ids of messages unique in the world.
    pub public_url_host: String,
    /// The operator's own templates.
    pub folder: Option<PathBuf>,
}

/// Why mails cannot be written with these templates.
#[derive(Debug, Error)]
pub enum TemplateError {
    /// A file or the folder cannot be read.
    #[error("{} cannot be read", .path.display())]
    Unreadable {
        /// The file or the folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file does not work.
    #[error("the template {file} does not work: {problem}")]
    Broken {
        /// The file, by its name.
        file: String,
        /// What is wrong with it, and where.
        problem: String,
    },
    /// The host cannot stand in a `Message-ID`.
    #[error("the host {0:?} cannot be part of a message id")]
    InvalidHost(String),
}

impl From<ComposeError> for TemplateError {
    fn from(error: ComposeError) -> Self {
        Self::Broken { file: error.template, problem: error.problem }
    }
}

/// A row of the table that says where a request came from.
#[derive(Serialize)]
struct Detail {
    label: String,
    value: String,
}

impl Templates {
    /// Reads the templates, and tries each of them out where a folder is given, so that a broken one is found now.
    /// Blocks meanwhile.
    ///
    /// # Errors
    ///
    /// [`TemplateError`] names the file that is broken, unreadable or unknown.
    pub fn new(options: TemplateOptions) -> Result<Self, TemplateError> {
        let host = options.public_url_host;
        if host.is_empty() || !host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b)) {
            return Err(TemplateError::InvalidHost(host));
        }
        let mut files: BTreeMap<String, String> =
            BUILT_IN.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
        if let Some(folder) = &options.folder {
            files.extend(own_files(folder)?);
        }
        let mut engine = Environment::new();
        engine.set_undefined_behavior(UndefinedBehavior::Strict);
        // The words of a language are plain text; they are escaped once, where they enter the HTML.
        engine.set_auto_escape_callback(|name| if name == LAYOUT_HTML { AutoEscape::Html } else { AutoEscape::None });
        let mut templates = Self {
            engine,
            service_name: options.service_name,
            public_url_host: host,
            layout_html: files.remove(LAYOUT_HTML).unwrap_or_default(),
            layout_text: files.remove(LAYOUT_TEXT).unwrap_or_default(),
            languages: BTreeMap::new(),
        };
        for (file, text) in files {
            let broken = |problem| TemplateError::Broken { file: file.clone(), problem };
            let locale = language_of(&file).ok_or_else(|| broken(UNKNOWN_NAME.to_owned()))?;
            templates.languages.insert(locale, Language::parse(&text).map_err(broken)?);
        }
        // The built-in ones are tried out by this crate's tests, and starting should not wait for that.
        if options.folder.is_some() {
            templates.check()?;
        }
        Ok(templates)
    }

    /// The languages that mails can be written in.
    #[must_use]
    pub fn languages(&self) -> Vec<Locale> {
        self.languages.keys().cloned().collect()
    }

    /// The language as it was asked for, without its region, or English.
    fn choose(&self, wanted: Option<&Locale>) -> Option<(&Locale, &Language)> {
        let exact = wanted.and_then(|wanted| self.languages.get_key_value(wanted));
        let named = |name: &str| self.languages.iter().find(|(locale, _)| locale.as_str() == name);
        exact.or_else(|| wanted.and_then(|wanted| named(wanted.language()))).or_else(|| named(FALLBACK))
    }

    fn write(&self, locale: &Locale, language: &Language, letter: &Letter) -> Result<Message, ComposeError> {
        let kind = letter.mail.kind;
        let file = format!("{locale}.toml");
        let broken =
            |problem: &str| ComposeError { template: file.clone(), problem: format!("[{}] {problem}", kind.as_str()) };
        let words = language.words(kind).ok_or_else(|| broken("is missing"))?;
        let link = match (kind.token_purpose(), &letter.link) {
            (Some(_), None) => return Err(broken("the letter has no link")),
            (Some(_), Some(link)) => Some(link),
            (None, _) => None,
        };
        let common = &language.common;
        let unknown = self.words(&file, "common.unknown", &common.unknown, context! {})?;
        let lifetime = match link {
            Some((_, lifetime)) => {
                let (source, place, count) = common.duration(*lifetime);
                Some(self.words(&file, place, source, context! { count })?)
            }
            None => None,
        };
        let values = Values::of(letter, &self.service_name, &unknown, lifetime);
        let say = |key: &str, source: &str| self.words(&file, &format!("{}.{key}", kind.as_str()), source, &values);
        let say_all = |key: &str, sources: &[String]| -> Result<Vec<String>, ComposeError> {
            sources.iter().enumerate().map(|(i, source)| say(&format!("{key}[{i}]"), source)).collect()
        };
        let label = |key: &str, source: &str| self.words(&file, &format!("common.{key}"), source, &values);
        let mut details = Vec::new();
        if shows_request(kind) {
            details.push(Detail { label: label("when", &common.when)?, value: values.when().to_owned() });
            details.push(Detail { label: label("address", &common.address)?, value: values.ip().to_owned() });
            details.push(Detail { label: label("device", &common.device)?, value: values.device().to_owned() });
        }
        let subject = fit(&say("subject", &words.subject)?);
        let page = context! {
            lang => locale.as_str(),
            service => fit(&self.service_name),
            subject => &subject,
            heading => say("heading", &words.heading)?,
            text => say_all("text", &words.text)?,
            button => words.button.as_deref().map(|button| say("button", button)).transpose()?,
            link => link.map(|(url, _)| url.expose_secret()),
            copy_link => label("copy_link", &common.copy_link)?,
            details => details,
            after => say_all("after", &words.after)?,
            footer => label("footer", &common.footer)?,
        };
        let text = wrap(&self.render(LAYOUT_TEXT, LAYOUT_TEXT, &self.layout_text, &page)?);
        let page = context! { link => link.map(|(url, _)| safe_url(url.expose_secret())), ..page };
        let html = self.render(LAYOUT_HTML, LAYOUT_HTML, &self.layout_html, &page)?;
        Ok(Message {
            id: format!("<{}@{}>", letter.mail.id, self.public_url_host),
            to: letter.mail.to.clone(),
            subject,
            locale: locale.clone(),
            text: text.into(),
            html: html.into(),
        })
    }

    /// One string of a language file, on one line.
    fn words(&self, file: &str, place: &str, source: &str, values: impl Serialize) -> Result<String, ComposeError> {
        let text = self.render(file, &format!("{file} {place}"), source, values)?;
        Ok(text.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
    }

    fn render(&self, file: &str, name: &str, source: &str, values: impl Serialize) -> Result<String, ComposeError> {
        let broken = |error: minijinja::Error| ComposeError { template: file.to_owned(), problem: error.to_string() };
        self.engine.render_named_str(name, source, values).map_err(broken)
    }
}

impl MailComposer for Templates {
    fn compose(&self, letter: &Letter) -> Result<Message, ComposeError> {
        let (locale, language) = self
            .choose(letter.locale.as_ref())
            .ok_or_else(|| ComposeError { template: format!("{FALLBACK}.toml"), problem: "is missing".to_owned() })?;
        self.write(locale, language, letter)
    }
}

/// A URL for the HTML. The engine would escape its slashes too, which is right but hard to read in the source
/// of a mail, and beyond some filters that look for links.
fn safe_url(url: &str) -> Value {
    let escaped = url.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    Value::from_safe_string(escaped.replace('"', "&quot;").replace('\'', "&#39;"))
}

/// One spelling for each language, so that no two files are about the same.
fn language_of(file: &str) -> Option<Locale> {
    let stem = file.strip_suffix(".toml")?;
    Locale::parse(stem).ok().filter(|locale| locale.as_str() == stem)
}

fn own_files(folder: &Path) -> Result<BTreeMap<String, String>, TemplateError> {
    let unreadable = |path: &Path, source| TemplateError::Unreadable { path: path.to_owned(), source };
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(|error| unreadable(folder, error))? {
        let path = entry.map_err(|error| unreadable(folder, error))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // Hidden files belong to editors, file managers and volumes, not to the operator.
        if name.starts_with('.') {
            continue;
        }
        if name != LAYOUT_HTML && name != LAYOUT_TEXT && language_of(&name).is_none() {
            return Err(TemplateError::Broken { file: name, problem: UNKNOWN_NAME.to_owned() });
        }
        let text = fs::read_to_string(&path).map_err(|error| unreadable(&path, error))?;
        files.insert(name, text);
    }
    Ok(files)
}

#[cfg(test)]
mod tests;
