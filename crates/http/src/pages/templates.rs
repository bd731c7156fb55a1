use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use minijinja::value::{Enumerator, Kwargs, Object, ObjectRepr};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value};

use super::{PageSet, PagesError};

/// What every template may name besides what its page gives it.
const COMMON: [&str; 12] =
    ["page", "t", "done", "alert", "errors", "values", "min_length", "asset", "time", "super", "caller", "loop"];

/// The templates of the pages.
pub(super) struct Templates(Environment<'static>);

impl Templates {
    /// The templates of the sets, and those that the operator puts in their place. Files that are used are taken out of
    /// `own`.
    ///
    /// A template may name what the built-in one of its name does, and nothing else. `texts` are for trying them out.
    pub(super) fn new(sets: &[PageSet], own: &mut BTreeMap<String, String>, texts: &Value) -> Result<Self, PagesError> {
        let mut engine = Environment::new();
        // What is missing may be asked about and never printed.
        engine.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        engine.set_trim_blocks(true);
        engine.set_lstrip_blocks(true);
        engine.add_filter("fill", fill);
        let mut replaced = Vec::new();
        for (name, source) in sets.iter().flat_map(|set| set.templates) {
            engine.add_template(name, source).map_err(|error| PagesError::broken(*name, error))?;
            let Some(own) = own.remove(*name) else { continue };
            let known = variables(&engine, name)?;
            engine.add_template_owned(*name, own).map_err(|error| PagesError::broken(*name, error))?;
            if let Some(unknown) = variables(&engine, name)?.into_iter().find(|variable| !known.contains(variable)) {
                return Err(PagesError::broken(*name, format!("it names {unknown}, which this page does not have")));
            }
            replaced.push(*name);
        }
        let assets: Vec<_> = sets.iter().flat_map(|set| set.assets).map(|(name, _)| *name).collect();
        for name in replaced {
            try_out(&engine, name, texts, &assets).map_err(|error| PagesError::broken(name, error))?;
        }
        Ok(Self(engine))
    }

    /// The HTML of a page.
    pub(super) fn render(&self, name: &str, context: Value) -> Result<String, Error> {
        self.0.get_template(name)?.render(context)
    }
}

/// What `page` knows; the templates say what each is.
const PAGE: [&str; 11] =
    ["id", "lang", "base", "name", "logo", "imprint", "privacy", "registration", "tasks", "user", "for_user"];

/// Renders a template with something in every place, so that a filter, a function, an asset or an attribute of the page
/// that there is not is found now.
fn try_out(engine: &Environment<'_>, name: &str, texts: &Value, assets: &[&'static str]) -> Result<(), Error> {
    let anything = || Value::from_object(Anything);
    let template = engine.get_template(name)?;
    let own = template.undeclared_variables(false).into_iter().map(|variable| (variable, anything()));
    let mut context: BTreeMap<String, Value> = own.collect();
    // What the layout and the macros ask for besides.
    for common in ["done", "alert", "errors", "values"] {
        context.insert(common.to_owned(), anything());
    }
    let known = assets.to_vec();
    let asset = move |asset: &str| match known.iter().find(|known| **known == asset) {
        Some(known) => Ok(*known),
        None => Err(Error::new(ErrorKind::InvalidOperation, format!("there is no asset {asset}"))),
    };
    context.insert("asset".to_owned(), Value::from_function(asset));
    context.insert("time".to_owned(), Value::from_function(|_: Value| "x"));
    context.insert("min_length".to_owned(), Value::from(8));
    context.insert("t".to_owned(), texts.clone());
    context.insert("page".to_owned(), PAGE.into_iter().map(|key| (key, anything())).collect());
    template.render(Value::from_iter(context)).map(|_| ())
}

/// Has every attribute, and one item.
#[derive(Debug)]
struct Anything;

impl Object for Anything {
    fn get_value(self: &Arc<Self>, _: &Value) -> Option<Value> {
        Some(Value::from_dyn_object(Arc::clone(self)))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(vec![Value::from_dyn_object(Arc::clone(self))])
    }

    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("x")
    }
}

/// What a template asks its page for.
fn variables(engine: &Environment<'_>, name: &str) -> Result<Vec<String>, PagesError> {
    let template = engine.get_template(name).map_err(|error| PagesError::broken(name, error))?;
    let globals: Vec<&str> = engine.globals().map(|(name, _)| name).collect();
    let common = |variable: &String| !COMMON.contains(&variable.as_str()) && !globals.contains(&variable.as_str());
    Ok(template.undeclared_variables(false).into_iter().filter(common).collect())
}

/// Fills the places of a text: `fill("Hello {name}", name="Ada")`.
#[allow(clippy::needless_pass_by_value, reason = "the signature is the engine's")]
fn fill(text: &str, values: Kwargs) -> Result<String, Error> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) =
            after.split_once('}').ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "a { without its }"))?;
        filled.push_str(before);
        filled.push_str(&values.get::<String>(name)?);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use minijinja::context;

    use super::*;

    const SET: PageSet = PageSet { templates: &[("a.html", "<p>{{ text }}{{ page.name }}")], texts: &[], assets: &[] };

    fn templates(own: &[(&str, &str)]) -> Result<Templates, String> {
        let mut own = own.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        Templates::new(&[SET], &mut own, &Value::from(())).map_err(|error| error.to_string())
    }

    #[test]
    fn markup_in_a_value_is_text() {
        let html =
            templates(&[]).unwrap().render("a.html", context! { text => "<b>\"'&", page => context! { name => "" } });
        assert_eq!(html.unwrap(), "<p>&lt;b&gt;&quot;&#x27;&amp;");
    }

    #[test]
    fn an_operator_s_template_takes_the_place_of_its_namesake() {
        let own = templates(&[("a.html", "{% if page.name %}{{ text }}{% endif %}!")]).unwrap();
        let html = own.render("a.html", context! { text => "x", page => context! { name => "n" } });
        assert_eq!(html.unwrap(), "x!");
        for (source, expected) in
            [("{{ text", "a.html"), ("{{ secret }}", "secret"), ("{{ text | nofilter }}", "nofilter")]
        {
            let error = templates(&[("a.html", source)]).err();
            assert!(error.as_ref().is_some_and(|error| error.contains(expected)), "{source}: {error:?}");
        }
    }

    #[test]
    fn the_places_of_a_text_are_filled_and_what_fills_them_is_not() {
        let filled = |text: &str, values: Value| {
            let mut engine = Environment::new();
            engine.add_filter("fill", fill);
            engine.render_str("{{ text | fill(**values) }}", context! { text, values })
        };
        assert_eq!(filled("{a} and {b}", context! { a => "{b}", b => "<" }).unwrap(), "{b} and <");
        assert_eq!(filled("none", context! { a => "x" }).unwrap(), "none");
        assert!(filled("{c}", context! { a => "x" }).is_err());
        assert!(filled("{a", context! { a => "x" }).is_err());
    }
}
