//! How a client shows who it is (RFC 6749 section 2.3.1): by HTTP Basic, or by two parameters of its form.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequest, FromRequestParts, Request};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};

use crate::clients::Clients;
use crate::config::HttpConfig;
use crate::parameters::{Parameters, Refused};

/// The form of a client that has shown who it is.
pub(crate) struct ClientForm(pub(crate) Parameters);

impl<S> FromRequest<S> for ClientForm
where
    S: Send + Sync,
    Arc<HttpConfig>: FromRef<S>,
{
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        let config = Arc::<HttpConfig>::from_ref(state);
        let (parts, body) = request.into_parts();
        let form = Parameters::from_body(&parts.headers, body, &config.limits).await?;
        check_form(&parts.headers, &form, &config.clients)?;
        Ok(Self(form))
    }
}

/// A client that has shown who it is by HTTP Basic. Without a form there is no other way: a query ends up in logs.
pub(crate) struct BasicClient;

impl<S> FromRequestParts<S> for BasicClient
where
    S: Send + Sync,
    Arc<HttpConfig>: FromRef<S>,
{
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let config = Arc::<HttpConfig>::from_ref(state);
        let credentials = basic(&parts.headers)?.ok_or(Refused::InvalidClient)?;
        credentials.check(&config.clients).map(|()| Self)
    }
}

fn check_form(headers: &HeaderMap, form: &Parameters, clients: &Clients) -> Result<(), Refused> {
    let (id, secret) = (form.find("client_id"), form.find("client_secret"));
    let credentials = match (basic(headers)?, id, secret) {
        (Some(credentials), None, None) => credentials,
        // One way at a time (RFC 6749 section 2.3), or the two might name different clients.
        (Some(_), _, _) => return Err(Refused::InvalidRequest),
        (None, Some(id), Some(secret)) => Credentials { id: id.expose_secret().to_owned(), secret: secret.clone() },
        (None, _, _) => return Err(Refused::InvalidClient),
    };
    credentials.check(clients)
}

/// What a client presents.
struct Credentials {
    id: String,
    secret: SecretString,
}

impl Credentials {
    fn check(&self, clients: &Clients) -> Result<(), Refused> {
        if clients.know(&self.id, &self.secret) { Ok(()) } else { Err(Refused::InvalidClient) }
    }
}

/// The credentials of an `Authorization: Basic` header (RFC 7617 section 2), `None` without the header. Whoever
/// presents something else there has tried to authenticate, and failed.
fn basic(headers: &HeaderMap) -> Result<Option<Credentials>, Refused> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value,
        (Some(_), Some(_)) => return Err(Refused::InvalidClient),
    };
    let credentials = value.to_str().ok().and_then(|value| {
        let (scheme, encoded) = value.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("Basic") {
            return None;
        }
        let decoded = STANDARD.decode(encoded.trim_start_matches(' ')).ok()?;
        let text = SecretString::from(String::from_utf8(decoded).ok()?);
        let (id, secret) = text.expose_secret().split_once(':')?;
        Some(Credentials { id: form_decoded(id)?, secret: SecretString::from(form_decoded(secret)?) })
    });
    credentials.map(Some).ok_or(Refused::InvalidClient)
}

/// Undoes the encoding that id and secret have by themselves, below that of the header (RFC 6749 appendix B).
fn form_decoded(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;
    use crate::clients::SecretDigest;

    const SECRET: &str = "a+b: c%";

    fn clients() -> Clients {
        let mut clients = Clients::default();
        clients.add("notes".parse().unwrap(), SecretDigest::of(&SECRET.to_owned().into())).unwrap();
        clients
    }

    /// These `Authorization` headers, where `Basic ` is followed by what is encoded.
    fn headers(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            let line = match line.strip_prefix("Basic ") {
                Some(credentials) => format!("Basic {}", STANDARD.encode(credentials)),
                None => (*line).to_owned(),
            };
            headers.append(AUTHORIZATION, HeaderValue::from_str(&line).unwrap());
        }
        headers
    }

    fn check(lines: &[&str], form: &str) -> Result<(), Refused> {
        check_form(&headers(lines), &Parameters::parse(form.as_bytes()).unwrap(), &clients())
    }

    #[test]
    fn a_client_shows_who_it_is_in_either_way() {
        check(&["Basic notes:a%2Bb%3A+c%25"], "token=x").unwrap();
        check(&["Basic notes:a%2Bb:%20c%25"], "token=x&client_id=&client_secret=").unwrap();
        check(&["bAsIc  bm90ZXM6YSUyQmI6JTIwYyUyNQ=="], "").unwrap();
        check(&[], "client_id=notes&client_secret=a%2Bb%3A+c%25").unwrap();
    }

    #[test]
    fn both_ways_at_once_are_refused() {
        for form in ["client_id=notes&client_secret=a%2Bb%3A+c%25", "client_id=notes", "client_secret=x"] {
            let outcome = check(&["Basic notes:a%2Bb%3A+c%25"], form);
            assert!(matches!(outcome, Err(Refused::InvalidRequest)), "{form}: {outcome:?}");
        }
    }

    #[test]
    fn whoever_does_not_show_who_they_are_is_no_client() {
        for (lines, form) in [
            (&[][..], "token=x"),
            (&[][..], "client_id=notes"),
            (&[][..], "client_secret=a%2Bb%3A+c%25"),
            (&[][..], "client_id=notes&client_secret=wrong"),
            (&["Basic notes:wrong"][..], ""),
            (&["Basic notes:a+b: c%"][..], ""),
            (&["Basic notes"][..], ""),
            (&["Basic :"][..], ""),
            (&["Basic other:a%2Bb%3A+c%25"][..], ""),
            (&["Basic notes:%FF"][..], ""),
            (&["Basic notes:a%2Bb%3A+c%25", "Basic notes:a%2Bb%3A+c%25"][..], ""),
            (&["Bearer x"][..], ""),
            (&["Bearer x"][..], "client_id=notes&client_secret=a%2Bb%3A+c%25"),
            (&["basic !!!"][..], ""),
            (&["basic"][..], ""),
        ] {
            let outcome = check(lines, form);
            assert!(matches!(outcome, Err(Refused::InvalidClient)), "{lines:?}, {form}: {outcome:?}");
        }
    }
}
