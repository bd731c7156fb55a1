use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::IF_MATCH;
use axum::http::request::Parts;
use doorward_http::problem::{Kind, Problem};

use crate::Version;

/// Which versions a request is meant for (RFC 9110 section 13.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfMatch {
    /// Whichever there is: the header is `*` or is not there.
    Any,
    /// One of these. What is an entity tag and none of ours stands for no version.
    Versions(Vec<Version>),
}

impl IfMatch {
    /// Whether a request is meant for this version.
    #[must_use]
    pub fn allows(&self, version: Version) -> bool {
        match self {
            Self::Any => true,
            Self::Versions(versions) => versions.contains(&version),
        }
    }

    /// `None` where the header is not in the form that it has to have.
    fn parse(headers: &HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(IF_MATCH).iter().peekable();
        if lines.peek().is_none() {
            return Some(Self::Any);
        }
        // Several lines are one list (RFC 9110 section 5.3).
        let lines: Vec<&str> = lines.map(|line| line.to_str()).collect::<Result<_, _>>().ok()?;
        let list = lines.join(",");
        if list.trim() == "*" {
            return Some(Self::Any);
        }
        let mut rest = list.as_str();
        let (mut tags, mut versions) = (0, Vec::new());
        loop {
            // Empty elements are ignored (RFC 9110 section 5.6.1).
            rest = rest.trim_start_matches([' ', '\t', ',']);
            if rest.is_empty() {
                break;
            }
            let is_weak = rest.starts_with("W/");
            let opaque = rest.strip_prefix("W/").unwrap_or(rest).strip_prefix('"')?;
            let (tag, behind) = opaque.split_once('"')?;
            rest = behind.trim_start_matches([' ', '\t']);
            if !(rest.is_empty() || rest.starts_with(',')) || !tag.bytes().all(is_opaque) {
                return None;
            }
            tags += 1;
            // Strong comparison: a weak tag never matches. Only the digits that we write name a version.
            if let Some(number) = tag.parse().ok().filter(|number: &i64| !is_weak && number.to_string() == tag) {
                versions.push(Version::new(number));
            }
        }
        (tags > 0).then_some(Self::Versions(versions))
    }
}

/// What may stand between the quotes of an entity tag (RFC 9110 section 8.8.3).
fn is_opaque(byte: u8) -> bool {
    byte == 0x21 || (0x23..=0x7e).contains(&byte) || byte >= 0x80
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let malformed = || Problem::from(Kind::BadRequest).with_detail("If-Match has to be * or a list of entity tags");
        Self::parse(&parts.headers).ok_or_else(malformed)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn parse(lines: &[&str]) -> Option<IfMatch> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(IF_MATCH, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        IfMatch::parse(&headers)
    }

    fn versions(numbers: &[i64]) -> IfMatch {
        IfMatch::Versions(numbers.iter().map(|number| Version::new(*number)).collect())
    }

    #[test]
    fn a_list_of_entity_tags_names_versions() {
        for (lines, expected) in [
            (&[][..], Some(IfMatch::Any)),
            (&["*"][..], Some(IfMatch::Any)),
            (&[r#""7""#][..], Some(versions(&[7]))),
            (&[r#" "7" ,, "12","#][..], Some(versions(&[7, 12]))),
            (&[r#""7""#, r#""8""#][..], Some(versions(&[7, 8]))),
        ] {
            assert_eq!(parse(lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_tag_that_is_none_of_ours_matches_nothing() {
        for tag in [r#"W/"7""#, r#""""#, r#""07""#, r#""+7""#, r#""x,y""#, r#""99999999999999999999""#] {
            assert_eq!(parse(&[tag]), Some(versions(&[])), "{tag}");
            assert!(!parse(&[tag]).unwrap().allows(Version::new(7)), "{tag}");
        }
    }

    #[test]
    fn what_is_no_list_of_entity_tags_is_refused() {
        for line in ["", ",", "7", r#""7"#, r#"7""#, r#""7" "8""#, r#""7";"8""#, r#"*, "7""#, r#"w/"7""#, "\"a b\""] {
            assert_eq!(parse(&[line]), None, "{line:?}");
        }
    }
}
