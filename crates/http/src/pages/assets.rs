use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::Compression;
use sha2::{Digest as _, Sha256};

use super::compression::{gzip, takes_gzip};
use super::texts::Texts;
use super::{Look, PageSet};
use crate::config::HttpConfig;
use crate::problem::{Kind, Problem};
use crate::routes::Shared;

/// Stylesheets, scripts, what the scripts say, and the logo, as they are sent.
pub(super) struct Assets {
    assets: Vec<Asset>,
    /// Names them all: modules import each other by relative names, so one version has to fit all.
    version: String,
}

struct Asset {
    name: Cow<'static, str>,
    media_type: &'static str,
    plain: Cow<'static, [u8]>,
    /// Made once, when it is asked for: much of it never is. `None` where it would be no shorter.
    gzip: OnceLock<Option<Vec<u8>>>,
}

impl Asset {
    fn new(name: impl Into<Cow<'static, str>>, media_type: &'static str, plain: Cow<'static, [u8]>) -> Self {
        Self { name: name.into(), media_type, plain, gzip: OnceLock::new() }
    }

    fn gzip(&self) -> Option<&Vec<u8>> {
        self.gzip.get_or_init(|| gzip(&self.plain, Compression::best())).as_ref()
    }
}

impl Assets {
    pub(super) fn new(sets: &[PageSet], look: &Look, texts: &Texts) -> Self {
        let mut assets = Vec::new();
        for (name, content) in sets.iter().flat_map(|set| set.assets) {
            // The operator's colours take the place of the stylesheet's.
            let plain = match *name {
                "doorward.css" => Cow::Owned(format!("{content}\n{}", look.css()).into_bytes()),
                _ => Cow::Borrowed(content.as_bytes()),
            };
            let media_type = match name.rsplit_once('.') {
                Some((_, "css")) => "text/css; charset=utf-8",
                Some((_, "svg")) => "image/svg+xml",
                _ => "text/javascript; charset=utf-8",
            };
            assets.push(Asset::new(*name, media_type, plain));
        }
        // What the meter says, for when it is there: pages are not to carry it.
        for language in texts.each() {
            let words = language.section("meter").and_then(|words| serde_json::to_vec(words).ok());
            let name = format!("meter.{}.json", language.locale);
            assets.extend(words.map(|words| Asset::new(name, "application/json", Cow::Owned(words))));
        }
        if let Some(logo) = &look.logo {
            assets.push(Asset::new("logo", logo.media_type, Cow::Owned(logo.bytes.clone())));
        }
        let mut digest = Sha256::new();
        for asset in &assets {
            digest.update(asset.name.as_bytes());
            digest.update(&asset.plain);
        }
        let version = URL_SAFE_NO_PAD.encode(digest.finalize().get(..9).unwrap_or_default());
        Self { assets, version }
    }

    /// The path of an asset, below the public URL. Changes with its content, so that browsers may keep it.
    pub(super) fn path(&self, name: &str) -> String {
        format!("/assets/{}/{name}", self.version)
    }

    fn answer(&self, version: Option<&str>, name: &str, headers: &HeaderMap) -> Response {
        let Some(asset) = self.assets.iter().find(|asset| asset.name == name) else {
            return Problem::from(Kind::NotFound).into_response();
        };
        let kept = if version == Some(&self.version) { "public, max-age=31536000, immutable" } else { "no-cache" };
        let tag = format!("\"{}\"", self.version);
        let known = headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
        let mut response = match asset.gzip() {
            _ if known => StatusCode::NOT_MODIFIED.into_response(),
            Some(gzip) if takes_gzip(headers) => {
                ([(CONTENT_ENCODING, HeaderValue::from_static("gzip"))], gzip.clone()).into_response()
            }
            _ => asset.plain.to_vec().into_response(),
        };
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.media_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(kept));
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            headers.insert(ETAG, tag);
        }
        response
    }
}

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/assets/{name}", get(latest)).route("/assets/{version}/{name}", get(versioned))
}

async fn latest(
    State(config): State<Arc<HttpConfig>>,
    headers: HeaderMap,
    name: Result<Path<String>, PathRejection>,
) -> Response {
    match name {
        Ok(Path(name)) => answer(&config, None, &name, &headers),
        Err(_) => Problem::from(Kind::NotFound).into_response(),
    }
}

async fn versioned(
    State(config): State<Arc<HttpConfig>>,
    headers: HeaderMap,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Response {
    match path {
        Ok(Path((version, name))) => answer(&config, Some(&version), &name, &headers),
        Err(_) => Problem::from(Kind::NotFound).into_response(),
    }
}

fn answer(config: &HttpConfig, version: Option<&str>, name: &str, headers: &HeaderMap) -> Response {
    match &config.pages {
        Some(pages) => pages.assets.answer(version, name, headers),
        None => Problem::from(Kind::NotFound).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use axum::http::header::ACCEPT_ENCODING;

    use super::*;

    const SET: PageSet = PageSet {
        templates: &[],
        texts: &[("en", "[meter]\nlabel = 'Strength'"), ("de", "[meter]\nlabel = 'Stärke'")],
        assets: &[("doorward.css", "a { color: red } a { color: red } a { color: red }"), ("x.js", "1")],
    };

    fn texts() -> Texts {
        Texts::new(&[SET], &mut BTreeMap::new()).unwrap()
    }

    fn headers(name: axum::http::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn gzip_is_sent_to_who_takes_it_and_where_it_is_shorter() {
        let assets = Assets::new(&[SET], &Look::default(), &texts());
        for (accepted, name, expected) in [
            ("gzip, br", "doorward.css", true),
            ("br, GZIP;q=0.5", "doorward.css", true),
            ("gzip;q=0", "doorward.css", false),
            ("identity", "doorward.css", false),
            ("gzip", "x.js", false),
        ] {
            let response = assets.answer(None, name, &headers(ACCEPT_ENCODING, accepted));
            assert_eq!(response.headers().contains_key(CONTENT_ENCODING), expected, "{accepted} {name}");
        }
    }

    #[test]
    fn what_the_meter_says_is_there_in_every_language() {
        let assets = Assets::new(&[SET], &Look::default(), &texts());
        for (name, expected) in
            [("meter.en.json", r#"{"label":"Strength"}"#), ("meter.de.json", r#"{"label":"Stärke"}"#)]
        {
            let asset = assets.assets.iter().find(|asset| asset.name == name).unwrap();
            assert_eq!(asset.plain, expected.as_bytes());
            let response = assets.answer(None, name, &HeaderMap::new());
            assert_eq!(response.headers().get(CONTENT_TYPE).unwrap(), "application/json");
        }
        assert_eq!(assets.answer(None, "meter.fr.json", &HeaderMap::new()).status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn a_version_is_kept_for_good_and_any_other_asked_about() {
        let assets = Assets::new(&[SET], &Look::default(), &texts());
        let other = Assets::new(
            &[SET],
            &Look { accent: super::super::Colour::on_light("#a02020").unwrap(), ..Look::default() },
            &texts(),
        );
        assert_ne!(assets.version, other.version, "the operator's colours are part of the content");
        let cached = |version: Option<&str>| {
            let response = assets.answer(version, "x.js", &HeaderMap::new());
            response.headers().get(CACHE_CONTROL).unwrap().to_str().unwrap().to_owned()
        };
        assert!(cached(Some(&assets.version)).contains("immutable"));
        assert_eq!(cached(Some(&other.version)), "no-cache");
        assert_eq!(cached(None), "no-cache");
        let again = assets.answer(None, "x.js", &headers(IF_NONE_MATCH, &format!("\"{}\"", assets.version)));
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(assets.answer(None, "y.js", &HeaderMap::new()).status(), StatusCode::NOT_FOUND);
    }
}
