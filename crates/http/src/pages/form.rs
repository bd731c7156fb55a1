use std::collections::BTreeMap;
use std::fmt;

use axum::extract::{FromRequest, Request};

use super::answer::ForAnswer;
use crate::body::{self, Fields, FromFields};
use crate::config::HttpConfig;
use crate::parameters;
use crate::problem::{FieldError, Kind, Problem};

/// The field in which a form says for whom it was made.
pub(super) const FOR_USER: &str = "for_user";

/// What a form of a page sends (`application/x-www-form-urlencoded`). A field that is left empty is as good as absent.
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Reads the fields into `T`, as [`Body`](crate::body::Body) does.
    ///
    /// # Errors
    ///
    /// What is wrong with them, by field; fields that `T` does not take included.
    pub fn read<T: FromFields>(&self) -> Result<T, Vec<FieldError>> {
        Fields::from_pairs(self.0.iter().filter(|(_, value)| !value.is_empty()).cloned()).read()
    }

    /// What stands in the field, if anything does.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        let value = self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        value.filter(|value| !value.is_empty())
    }

    /// What to fill in again when the form is shown once more: all but secrets.
    pub(super) fn values(&self) -> BTreeMap<String, String> {
        let harmless = |name: &str| !name.ends_with("password") && name != "token";
        self.0.iter().filter(|(name, _)| harmless(name)).cloned().collect()
    }
}

impl fmt::Debug for Form {
    /// Names alone: a value may be a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        if !parameters::is_form(&parts.headers) {
            return Err(Problem::from(Kind::UnsupportedMediaType).with_detail("The body has to be a form"));
        }
        let limits = HttpConfig::of(&parts.extensions).map(|config| config.limits).unwrap_or_default();
        let pairs = parameters::unique_pairs(&body::read(body, &limits).await?);
        let repeated = || Problem::from(Kind::BadRequest).with_detail("The form has to name each field once");
        // Browsers send every line break of a text area as two characters.
        let line_breaks = |(name, value): (String, String)| (name, value.replace("\r\n", "\n"));
        let mut pairs: Vec<_> = pairs.ok_or_else(repeated)?.into_iter().map(line_breaks).collect();
        if let Some(at) = pairs.iter().position(|(name, _)| name == FOR_USER) {
            let (_, made_for) = pairs.swap_remove(at);
            let who = parts.extensions.get::<ForAnswer>().and_then(ForAnswer::user_id);
            // Somebody else has logged in meanwhile, in another tab.
            if who.is_some_and(|who| who.to_string() != made_for) {
                return Err(Kind::OtherUser.into());
            }
        }
        Ok(Self(pairs))
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::header::CONTENT_TYPE;

    use super::*;

    async fn form(body: &'static str) -> Result<Form, Problem> {
        let request = Request::post("/").header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        Form::from_request(request.body(Body::from(body)).unwrap(), &()).await
    }

    struct Named(Option<String>);

    impl FromFields for Named {
        fn from_fields(fields: &mut Fields) -> Option<Self> {
            Some(Self(fields.optional_text("name")))
        }
    }

    #[tokio::test]
    async fn what_was_typed_is_kept_but_for_secrets() {
        let form = form("name=&email=a%40b&password=x&new_password=y&token=z").await.unwrap();
        let values: Vec<_> = form.values().into_iter().collect();
        assert_eq!(values, [("email".to_owned(), "a@b".to_owned()), ("name".to_owned(), String::new())]);
        let printed = format!("{form:?}");
        assert!(!printed.contains("a@b") && printed.contains("password"), "{printed}");
    }

    #[tokio::test]
    async fn a_field_is_known_given_once_and_absent_when_empty() {
        assert_eq!(form("name=").await.unwrap().read::<Named>().unwrap().0, None);
        assert_eq!(form("name=a%0D%0Ab").await.unwrap().value("name"), Some("a\nb"));
        assert_eq!(form("name=+a").await.unwrap().read::<Named>().unwrap().0.as_deref(), Some(" a"));
        let errors = form("role=admin").await.unwrap().read::<Named>().err().unwrap();
        assert_eq!(errors[0].code, "unknown_field");
        assert!(form("name=a&name=b").await.is_err());
    }
}
