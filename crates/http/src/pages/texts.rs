use std::collections::BTreeMap;

use axum::http::HeaderMap;
use doorward_domain::Locale;
use minijinja::Value;
use toml::Table;

use super::{PageSet, PagesError};
use crate::language::preferred;
use crate::problem::FieldError;

/// The language of a visitor whose own there is not.
const FALLBACK: &str = "en";

/// The words of the pages, by language.
pub(super) struct Texts {
    /// All but English.
    others: Vec<Language>,
    english: Language,
    locales: Vec<Locale>,
}

/// The words of one language.
pub(super) struct Language {
    pub(super) locale: Locale,
    table: Table,
    /// The same, as templates see it.
    pub(super) value: Value,
}

impl Texts {
    /// The languages of the sets, with what the operator says differently. A language of the operator's own says
    /// everything; files that are used are taken out of `own`.
    pub(super) fn new(sets: &[PageSet], own: &mut BTreeMap<String, String>) -> Result<Self, PagesError> {
        let mut tables: BTreeMap<String, Table> = BTreeMap::new();
        for (name, text) in sets.iter().flat_map(|set| set.texts) {
            let table = parse(&format!("{name}.toml"), text)?;
            merge(tables.entry((*name).to_owned()).or_default(), table);
        }
        let complete = tables.get(FALLBACK).cloned().unwrap_or_default();
        let languages = own.keys().filter_map(|file| file.strip_suffix(".toml"));
        let files: Vec<String> = languages.map(|name| format!("{name}.toml")).collect();
        for file in files {
            let table = parse(&file, &own.remove(&file).unwrap_or_default())?;
            if let Some(place) = unknown(&table, &complete) {
                return Err(PagesError::broken(file, format!("{place} is not a text of any page")));
            }
            if let Some(place) = unfillable(&table, &complete) {
                return Err(PagesError::broken(file, format!("{place} has a place in braces that nothing fills")));
            }
            merge(tables.entry(file.trim_end_matches(".toml").to_owned()).or_default(), table);
        }
        let english = tables.remove(FALLBACK).unwrap_or_default();
        let language = |name: &str, table: Table| {
            let file = format!("{name}.toml");
            let locale = Locale::parse(name).ok().filter(|locale| locale.as_str() == name);
            let locale = locale.ok_or_else(|| PagesError::broken(&file, "must be called like a language: fr.toml"))?;
            match unknown(&complete, &table) {
                Some(place) => Err(PagesError::broken(file, format!("{place} is missing"))),
                None => Ok(Language { locale, value: Value::from_serialize(&table), table }),
            }
        };
        let english = language(FALLBACK, english)?;
        let others: Vec<_> =
            tables.into_iter().map(|(name, table)| language(&name, table)).collect::<Result<_, _>>()?;
        let locales = others.iter().chain([&english]).map(|language| language.locale.clone()).collect();
        Ok(Self { others, english, locales })
    }

    pub(super) fn languages(&self) -> Vec<Locale> {
        self.locales.clone()
    }

    pub(super) fn each(&self) -> impl Iterator<Item = &Language> {
        std::iter::once(&self.english).chain(&self.others)
    }

    /// The language of this name; English where there is none.
    pub(super) fn named(&self, name: &str) -> &Language {
        self.others.iter().find(|language| language.locale.as_str() == name).unwrap_or(&self.english)
    }

    /// The account's language, else the most wanted of the browser's, else English.
    pub(super) fn choose(&self, account: Option<&Locale>, headers: &HeaderMap) -> &Language {
        let known = |wanted: &str| self.each().find(|language| language.locale.as_str() == wanted);
        account
            .and_then(|wanted| known(wanted.as_str()).or_else(|| known(wanted.language())))
            .or_else(|| preferred(headers, &self.locales).and_then(|wanted| known(wanted.as_str())))
            .unwrap_or(&self.english)
    }
}

impl Language {
    /// The text at this place; the place's own name where there is none, which the check at the start rules out for
    /// what is known by then.
    pub(super) fn text(&self, place: &[&str]) -> String {
        self.find(place).unwrap_or_else(|| place.join("."))
    }

    /// The texts of a section, if there is one.
    pub(super) fn section(&self, name: &str) -> Option<&Table> {
        self.table.get(name)?.as_table()
    }

    /// The text at this place, if there is one.
    pub(super) fn find(&self, place: &[&str]) -> Option<String> {
        let (last, sections) = place.split_last()?;
        let table = sections.iter().try_fold(&self.table, |table, section| table.get(*section)?.as_table())?;
        table.get(*last)?.as_str().map(str::to_owned)
    }

    /// What is wrong with a field, in words.
    pub(super) fn field_error(&self, error: &FieldError, shortest_password: usize) -> String {
        let of_password = error.field.ends_with("password").then(|| format!("password_{}", error.code));
        let text = of_password
            .and_then(|code| self.find(&["field", &code]))
            .or_else(|| self.find(&["field", error.code]))
            .or_else(|| self.find(&["problem", error.code, "text"]));
        text.map_or_else(|| error.detail.clone(), |text| text.replace("{min}", &shortest_password.to_string()))
    }

    /// A moment in UTC, given as RFC 3339, to the minute.
    pub(super) fn moment(&self, rfc3339: &str) -> String {
        let parts: Option<(&str, usize, &str, &str)> = (|| {
            let (date, time) = rfc3339.split_once('T')?;
            let mut date = date.split('-');
            let (year, month, day) = (date.next()?, date.next()?.parse().ok()?, date.next()?);
            Some((year, month, day.trim_start_matches('0'), time.get(..5)?))
        })();
        let months =
            self.table.get("common").and_then(|common| common.get("months")).and_then(|months| months.as_array());
        let named = parts.and_then(|(year, month, day, time)| {
            let month = months?.get(month.checked_sub(1)?)?.as_str()?;
            let text = self.find(&["common", "date"])?.replace("{day}", day).replace("{month}", month);
            Some(text.replace("{year}", year).replace("{time}", time))
        });
        named.unwrap_or_else(|| rfc3339.to_owned())
    }
}

fn parse(file: &str, text: &str) -> Result<Table, PagesError> {
    toml::from_str(text).map_err(|error| PagesError::broken(file, error))
}

/// Puts `more` into `table`, text by text.
fn merge(table: &mut Table, more: Table) {
    for (key, value) in more {
        match (table.get_mut(&key), value) {
            (Some(toml::Value::Table(known)), toml::Value::Table(more)) => merge(known, more),
            (_, value) => {
                table.insert(key, value);
            }
        }
    }
}

/// A place in `table` that `known` has nothing of the same type at.
fn unknown(table: &Table, known: &Table) -> Option<String> {
    table.iter().find_map(|(key, value)| match (value, known.get(key)) {
        (toml::Value::Table(table), Some(toml::Value::Table(known))) => {
            unknown(table, known).map(|place| format!("{key}.{place}"))
        }
        (value, Some(known)) if value.same_type(known) => None,
        _ => Some(key.clone()),
    })
}

/// A text of `table` with a place such as `{name}` that the one in `known` does not have.
fn unfillable(table: &Table, known: &Table) -> Option<String> {
    table.iter().find_map(|(key, value)| match (value, known.get(key)) {
        (toml::Value::Table(table), Some(toml::Value::Table(known))) => {
            unfillable(table, known).map(|place| format!("{key}.{place}"))
        }
        (toml::Value::String(text), Some(toml::Value::String(known))) => {
            places(text).find(|place| !places(known).any(|known| known == *place)).map(|_| key.clone())
        }
        _ => None,
    })
}

/// What stands in braces.
fn places(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').skip(1).map(|rest| rest.split_once('}').map_or(rest, |(place, _)| place))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SET: PageSet = PageSet {
        templates: &[],
        texts: &[
            ("en", "[a]\nb = 'be'\nc = 'see'\n[common]\nmonths = ['Jan']\ndate = '{day} {month} {year}, {time} UTC'"),
            ("de", "[a]\nb = 'bé'\nc = 'zé'\n[common]\nmonths = ['Jan.']\ndate = '{day}. {month} {year}, {time} UTC'"),
        ],
        assets: &[],
    };

    fn texts(own: &[(&str, &str)]) -> Result<Texts, String> {
        let mut own = own.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        Texts::new(&[SET], &mut own).map_err(|error| error.to_string())
    }

    fn german() -> HeaderMap {
        HeaderMap::from_iter([(axum::http::header::ACCEPT_LANGUAGE, axum::http::HeaderValue::from_static("de"))])
    }

    #[test]
    fn the_account_s_language_comes_first_and_then_the_browser_s() {
        let texts = texts(&[]).unwrap();
        let of = |account: Option<&str>, headers| {
            let account = account.map(|text| Locale::parse(text).unwrap());
            texts.choose(account.as_ref(), &headers).locale.as_str().to_owned()
        };
        assert_eq!(of(None, HeaderMap::new()), "en");
        assert_eq!(of(None, german()), "de");
        assert_eq!(of(Some("en"), german()), "en");
        assert_eq!(of(Some("de-at"), HeaderMap::new()), "de");
        assert_eq!(of(Some("fr"), german()), "de");
    }

    #[test]
    fn an_operator_replaces_single_texts_and_adds_whole_languages() {
        let own = texts(&[("en.toml", "[a]\nb = 'bee'"), ("fr.toml", SET.texts[0].1)]).unwrap();
        let english = own.choose(None, &HeaderMap::new());
        assert_eq!((english.text(&["a", "b"]), english.text(&["a", "c"])), ("bee".to_owned(), "see".to_owned()));
        assert_eq!(own.languages().len(), 3);
        for (file, text, expected) in [
            ("en.toml", "[a]\nd = 'x'", "a.d is not a text"),
            ("en.toml", "[a]\nb = 1", "a.b is not a text"),
            ("en.toml", "= nonsense", "TOML"),
            ("en.toml", "[a]\nb = 'be {who}'", "a.b has a place"),
            ("fr.toml", "[a]\nb = 'x'", "a.c is missing"),
            ("english.toml", SET.texts[0].1, "called like a language"),
        ] {
            let error = texts(&[(file, text)]).err().unwrap_or_default();
            assert!(error.contains(file) && error.contains(expected), "{expected}: {error}");
        }
    }

    #[test]
    fn a_moment_is_written_as_people_read_it() {
        let moment = "2025-01-05T09:17:00Z";
        let texts = texts(&[]).unwrap();
        assert_eq!(texts.choose(None, &HeaderMap::new()).moment(moment), "5 Jan 2025, 09:17 UTC");
        assert_eq!(texts.choose(None, &german()).moment(moment), "5. Jan. 2025, 09:17 UTC");
    }
}
