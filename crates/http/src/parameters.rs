//! Reading forms strictly, for the endpoints that RFC 7662 and RFC 7009 describe. Their errors have the form of RFC
//! 6749 section 5.2, which the clients of such endpoints understand, in place of a problem.

use axum::Json;
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use doorward_auth::Fault;
use secrecy::{ExposeSecret, SecretString};
use url::form_urlencoded;

use crate::body;
use crate::config::HttpLimits;
use crate::problem::Problem;

/// Why a request of a client is refused.
#[derive(Clone, Debug)]
pub(crate) enum Refused {
    /// A parameter is missing or repeated, the body is no form, or the client authenticates in two ways at once.
    InvalidRequest,
    /// The client is unknown, its secret is wrong, or it does not authenticate.
    InvalidClient,
    /// What every endpoint refuses alike, such as a body that is too long.
    Problem(Problem),
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::Problem(fault.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let oauth = |status, error| (status, Json(serde_json::json!({ "error": error }))).into_response();
        match self {
            Self::InvalidRequest => oauth(StatusCode::BAD_REQUEST, "invalid_request"),
            Self::InvalidClient => {
                let mut response = oauth(StatusCode::UNAUTHORIZED, "invalid_client");
                // A realm is required (RFC 7617 section 2).
                let challenge = HeaderValue::from_static(r#"Basic realm="doorward""#);
                response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
                response
            }
            Self::Problem(problem) => problem.into_response(),
        }
    }
}

/// The parameters of a form or a query. Unknown ones are left alone, and one without a value is as good as absent
/// (RFC 6749 section 3.1).
#[derive(Debug, Default)]
pub(crate) struct Parameters(Vec<(String, SecretString)>);

impl Parameters {
    /// Reads the form in a body.
    pub(crate) async fn from_body(headers: &HeaderMap, body: Body, limits: &HttpLimits) -> Result<Self, Refused> {
        if !is_form(headers) {
            return Err(Refused::InvalidRequest);
        }
        Self::parse(&body::read(body, limits).await?)
    }

    /// Reads a text in the form of a query, in which no parameter is repeated.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Refused> {
        let pairs = unique_pairs(text).ok_or(Refused::InvalidRequest)?;
        Ok(Self(pairs.into_iter().map(|(name, value)| (name, SecretString::from(value))).collect()))
    }

    /// The parameter of this name, unless it has no value.
    pub(crate) fn find(&self, name: &str) -> Option<&SecretString> {
        let value = self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        value.filter(|value| !value.expose_secret().is_empty())
    }

    /// The parameter of this name, which has to be there.
    pub(crate) fn required(&self, name: &str) -> Result<&SecretString, Refused> {
        self.find(name).ok_or(Refused::InvalidRequest)
    }
}

/// The parameters of a form or a query, by name; `None` where one is repeated, since which of them counts differs from
/// one reader to the next, and where there are more than any request has.
pub(crate) fn unique_pairs(text: &[u8]) -> Option<Vec<(String, String)>> {
    /// Comparing thousands of names would be slow.
    const MOST: usize = 32;
    let mut pairs: Vec<(String, String)> = Vec::new();
    for (name, value) in form_urlencoded::parse(text) {
        if pairs.len() >= MOST || pairs.iter().any(|(known, _)| *known == name) {
            return None;
        }
        pairs.push((name.into_owned(), value.into_owned()));
    }
    Some(pairs)
}

pub(crate) fn is_form(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    match (types.next().and_then(|value| value.to_str().ok()), types.next()) {
        (Some(value), None) => {
            let essence = value.split(';').next().unwrap_or_default().trim();
            essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Parameters, Refused> {
        Parameters::parse(text.as_bytes())
    }

    #[test]
    fn a_parameter_is_read_once_and_not_without_a_value() {
        let parameters = parse("token=a%2Bb+c&token_type_hint=&unknown=x").unwrap();
        assert_eq!(parameters.required("token").unwrap().expose_secret(), "a+b c");
        assert!(parameters.find("token_type_hint").is_none());
        assert!(matches!(parameters.required("client_id"), Err(Refused::InvalidRequest)));
        assert!(parse("").unwrap().find("token").is_none());
    }

    #[test]
    fn a_repeated_parameter_is_refused_whatever_its_spelling_and_its_value() {
        let many: Vec<String> = (0..99).map(|n| format!("p{n}=")).collect();
        for text in ["token=a&token=b", "token=a&token=a", "token=a&token=", "token=a&t%6Fken=b", &many.join("&")] {
            assert!(matches!(parse(text), Err(Refused::InvalidRequest)), "{text}");
        }
    }

    #[test]
    fn a_form_says_that_it_is_one_and_nothing_else() {
        let form = "application/x-www-form-urlencoded";
        for (lines, expected) in [
            (&[form][..], true),
            (&["Application/X-WWW-Form-URLencoded; charset=utf-8"][..], true),
            (&["application/json"][..], false),
            (&["multipart/form-data; boundary=x"][..], false),
            (&[form, form][..], false),
            (&[][..], false),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(CONTENT_TYPE, HeaderValue::from_static(line));
            }
            assert_eq!(is_form(&headers), expected, "{lines:?}");
        }
    }
}
