//! Reading JSON bodies and queries strictly.
//!
//! A body is read into [`Fields`] first, and a request takes its fields out of them one by one. So every error of
//! a body is told at once, by field and code, and no value is ever echoed, which a deserializer's message would.

use std::fmt;
use std::time::Duration;

use axum::body::Body as HttpBody;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use secrecy::SecretString;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;
use uuid::Uuid;

use crate::config::{HttpConfig, HttpLimits};
use crate::problem::{FieldError, Kind, Problem};
use crate::{cursor, parameters};

/// More fields than any request has.
const MOST_FIELDS: usize = 64;

/// A request body of type `T`: a JSON object in which every field is known, named once and of the right type.
///
/// A body that is not gets the problem that says so, as on every route of Doorward.
///
/// ```
/// use doorward_http::body::{Body, Fields, FromFields};
///
/// struct NewNote { text: String }
///
/// impl FromFields for NewNote {
///     fn from_fields(fields: &mut Fields) -> Option<Self> {
///         Some(Self { text: fields.text("text")? })
///     }
/// }
///
/// async fn add(Body(note): Body<NewNote>) -> String {
///     note.text
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Body<T>(pub T);

/// The query of a request, of type `T`: every parameter is known and given once. Each is a text to
/// [`Fields`].
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

/// A type that a JSON object or a query can be read into.
pub trait FromFields: Sized {
    /// Whether no body at all stands for an empty object.
    const MAY_BE_ABSENT: bool = false;

    /// Takes its fields; what is wrong with them is noted in `fields`, and `None` returned.
    fn from_fields(fields: &mut Fields) -> Option<Self>;
}

impl<T, S> FromRequest<S> for Body<T>
where
    T: FromFields,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let limits = HttpConfig::of(&parts.extensions).map(|config| config.limits).unwrap_or_default();
        let bytes = read(body, &limits).await?;
        let fields = if bytes.is_empty() && T::MAY_BE_ABSENT {
            Fields::default()
        } else if is_json(&parts.headers) {
            Fields::parse(&bytes)?
        } else {
            return Err(Kind::UnsupportedMediaType.into());
        };
        fields.read().map(Self).map_err(Problem::validation)
    }
}

impl<T, S> FromRequestParts<S> for Query<T>
where
    T: FromFields,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let fields = Fields::from_query(parts.uri.query().unwrap_or_default())?;
        fields.read().map(Self).map_err(Problem::bad_query)
    }
}

/// Reads a body within its limits.
pub(crate) async fn read(body: HttpBody, limits: &HttpLimits) -> Result<Bytes, Problem> {
    let patience = limits.body_timeout.max(Duration::from_millis(1));
    tokio::time::timeout(patience, collect(body)).await.unwrap_or_else(|_| Err(Kind::RequestTimeout.into()))
}

async fn collect(mut body: HttpBody) -> Result<Bytes, Problem> {
    /// How much of a body that is too long is read and thrown away: closing the connection on a client that is
    /// still sending would tear the answer away as well.
    const DISCARDED_BYTES: usize = 1024 * 1024;
    let mut collected = BytesMut::new();
    let mut length = 0_usize;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Problem::from(Kind::BadRequest))?.into_data() else { continue };
        length = length.saturating_add(data.len());
        if length > DISCARDED_BYTES {
            break;
        }
        if length <= HttpLimits::BODY_BYTES {
            collected.extend_from_slice(&data);
        }
    }
    if length > HttpLimits::BODY_BYTES { Err(Kind::PayloadTooLarge.into()) } else { Ok(collected.freeze()) }
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    match (types.next().and_then(|value| value.to_str().ok()), types.next()) {
        (Some(value), None) => {
            let essence = value.split(';').next().unwrap_or_default().trim();
            essence.eq_ignore_ascii_case("application/json")
        }
        _ => false,
    }
}

/// The fields of a JSON object or a query, and what has been found wrong with them.
#[derive(Default)]
pub struct Fields {
    present: Vec<(String, Value)>,
    errors: Vec<FieldError>,
}

impl fmt::Debug for Fields {
    /// Names alone: a value may be a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.present.iter().map(|(name, _)| name).collect();
        f.debug_struct("Fields").field("present", &names).field("errors", &self.errors).finish()
    }
}

impl Fields {
    fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        // The one error that the visitor below makes is told apart by the category.
        let present = serde_json::from_slice::<UniqueFields>(bytes).map_err(|error| {
            if error.is_data() {
                Problem::from(Kind::BadRequest).with_detail(UniqueFields::EXPECTED)
            } else {
                Kind::MalformedJson.into()
            }
        })?;
        Ok(Self { present: present.0, errors: Vec::new() })
    }

    fn from_query(query: &str) -> Result<Self, Problem> {
        let pairs = parameters::unique_pairs(query.as_bytes());
        let repeated = || Problem::from(Kind::BadRequest).with_detail("The query has to name each parameter once");
        Ok(Self::from_pairs(pairs.ok_or_else(repeated)?))
    }

    /// Texts by name, each name given once.
    pub(crate) fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let text = |(name, value)| (name, Value::String(value));
        Self { present: pairs.into_iter().map(text).collect(), errors: Vec::new() }
    }

    /// What the fields make together, or everything that is wrong with them. Where nothing is and `T` gives nothing all the
    /// same, no error is named.
    pub(crate) fn read<T: FromFields>(mut self) -> Result<T, Vec<FieldError>> {
        let value = T::from_fields(&mut self);
        match (value, self.finish()) {
            (Some(value), errors) if errors.is_empty() => Ok(value),
            (_, errors) => Err(errors),
        }
    }

    /// Takes a field that need not be there. `null` counts as absent.
    fn take(&mut self, name: &str) -> Option<Value> {
        let at = self.present.iter().position(|(present, _)| present == name)?;
        let (_, value) = self.present.swap_remove(at);
        Some(value).filter(|value| !value.is_null())
    }

    /// Whether the field is there, be it `null`.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.present.iter().any(|(present, _)| present == name)
    }

    /// A text that need not be there.
    pub fn optional_text(&mut self, name: &str) -> Option<String> {
        if let Value::String(text) = self.take(name)? {
            Some(text)
        } else {
            self.refuse(FieldError::new(name, "wrong_type", "must be a text"));
            None
        }
    }

    /// A text that has to be there.
    pub fn text(&mut self, name: &str) -> Option<String> {
        let errors_before = self.errors.len();
        let text = self.optional_text(name);
        if text.is_none() && self.errors.len() == errors_before {
            self.refuse(FieldError::new(name, "required", "is required"));
        }
        text
    }

    /// A boolean that has to be there.
    pub fn boolean(&mut self, name: &str) -> Option<bool> {
        match self.take(name) {
            Some(Value::Bool(value)) => return Some(value),
            Some(_) => self.refuse(FieldError::new(name, "wrong_type", "must be true or false")),
            None => self.refuse(FieldError::new(name, "required", "is required")),
        }
        None
    }

    /// The parameter `limit` of a list that need not be there: a whole number from 1 to `most`.
    pub fn limit(&mut self, most: u32) -> Option<u32> {
        let text = self.optional_text("limit")?;
        let limit = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        let limit = limit.filter(|limit| (1..=most).contains(limit));
        let detail = || format!("must be a whole number from 1 to {most}");
        self.noting(limit.ok_or_else(|| FieldError::new("limit", "out_of_range", detail())))
    }

    /// The parameter `cursor` of a list that need not be there: the id behind which the page begins.
    pub fn cursor(&mut self) -> Option<Uuid> {
        let text = self.optional_text("cursor")?;
        let invalid = || FieldError::new("cursor", "invalid_cursor", "must be the next_cursor of another page");
        self.noting(cursor::parse(&text).ok_or_else(invalid))
    }

    /// A secret that has to be there.
    pub(crate) fn secret(&mut self, name: &str) -> Option<SecretString> {
        self.text(name).map(SecretString::from)
    }

    /// Takes what a parser made of a field, or notes its error.
    pub fn noting<T>(&mut self, parsed: Result<T, FieldError>) -> Option<T> {
        parsed.map_err(|error| self.refuse(error)).ok()
    }

    /// Notes what is wrong with a field.
    pub fn refuse(&mut self, error: FieldError) {
        self.errors.push(error);
    }

    /// Everything that is wrong, fields that nobody took included.
    fn finish(mut self) -> Vec<FieldError> {
        const LONGEST_ECHO: usize = 64;
        let unknown = self.present.into_iter().map(|(name, _)| {
            let name: String = name.chars().take(LONGEST_ECHO).collect();
            FieldError::new(name, "unknown_field", "is not a field of this request")
        });
        // A body of thousands of unknown fields gets no answer of thousands of errors.
        self.errors.extend(unknown.take(16));
        self.errors
    }
}

/// The fields of an object that names each of them once. A repeated field is read differently by different
/// parsers (RFC 8259 section 4), so it is refused.
struct UniqueFields(Vec<(String, Value)>);

impl UniqueFields {
    const EXPECTED: &'static str = "The body has to be a JSON object that names each field once";
}

impl<'de> Deserialize<'de> for UniqueFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;

        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = UniqueFields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(UniqueFields::EXPECTED)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<UniqueFields, A::Error> {
                let mut fields: Vec<(String, Value)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    // More fields than any request has cannot be right, and comparing them all would be slow.
                    if fields.len() >= MOST_FIELDS || fields.iter().any(|(known, _)| *known == name) {
                        return Err(A::Error::custom(UniqueFields::EXPECTED));
                    }
                    fields.push((name, value));
                }
                Ok(UniqueFields(fields))
            }
        }

        deserializer.deserialize_map(ObjectVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_not_printed() {
        let body = Fields::parse(br#"{"email":"ada@example.com","password":"correct horse"}"#).unwrap();
        let query = Fields::from_query("token=correct%20horse").unwrap();
        for fields in [body, query] {
            let printed = format!("{fields:?}");
            assert!(!printed.contains("horse") && !printed.contains("ada"), "{printed}");
        }
    }
}
