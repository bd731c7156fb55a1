//! Reading the options of `pages`.

#![allow(clippy::needless_pass_by_value, reason = "each parser is handed to `Check` by value")]

use std::path::PathBuf;

use doorward_http::pages::{Colour, Logo, Look, PageSettings, Pages};
use doorward_http::problem::chain;
use doorward_tasks::PAGES;
use url::Url;

use super::check::Check;
use super::parse::one_line;
use super::raw;

/// The settings; the service is called as in its mails unless it is told otherwise.
pub(super) fn read(check: &mut Check, raw: raw::Pages, service_name: &str) -> PageSettings {
    let raw::Pages { enabled, name, logo, accent, accent_dark, imprint, privacy, templates } = raw;
    let default = Look::default();
    let look = Look {
        name: check.or("pages.name", name, one_line, service_name.to_owned()),
        logo: check.or("pages.logo", logo, |path| parse_logo(path).map(Some), None),
        accent: check.or("pages.accent", accent, |text| Colour::on_light(&text), default.accent),
        accent_dark: check.or("pages.accent_dark", accent_dark, |text| Colour::on_dark(&text), default.accent_dark),
        imprint: check.or("pages.imprint", imprint, |text| parse_link(text).map(Some), None),
        privacy: check.or("pages.privacy", privacy, |text| parse_link(text).map(Some), None),
    };
    let settings = PageSettings { enabled: enabled.unwrap_or(true), look, templates };
    if settings.templates.is_some()
        && let Err(error) = Pages::new(settings.clone(), &[PAGES])
    {
        check.note("pages.templates", chain(&error));
    }
    settings
}

fn parse_logo(path: PathBuf) -> Result<Logo, String> {
    let media_type = Logo::media_type_of(&path.to_string_lossy());
    let media_type = media_type.ok_or("must be the path of a picture: .svg, .png or .webp")?;
    let bytes = std::fs::read(&path).map_err(|error| format!("names a file that cannot be read: {}", error.kind()))?;
    if bytes.len() > Logo::LONGEST {
        return Err(format!("must be a picture of at most {} bytes", Logo::LONGEST));
    }
    Ok(Logo { bytes, media_type })
}

fn parse_link(text: String) -> Result<Url, &'static str> {
    let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    url.ok_or("must be an http or https URL")
}
