//! Reading the options of `webhooks`.

use doorward_auth::{WebhookEvents, WebhookSecret};
use doorward_domain::{EndpointName, EventKind};
use doorward_webhooks::Target;

use super::check::Check;
use super::raw::{List, Webhook};
use crate::{WebhookRoute, WebhookSettings};

/// The endpoints, each named by its place: what stands where a name belongs may be a secret.
pub(super) fn read(check: &mut Check, raw: Vec<Webhook>) -> Vec<WebhookSettings> {
    let mut endpoints: Vec<WebhookSettings> = Vec::new();
    for (place, raw) in raw.into_iter().enumerate() {
        let Webhook { name, url, secret, secret_file, events, allow_private } = raw;
        let option = |name: &str| format!("webhooks[{place}].{name}");
        let name = check.required(&option("name"), name, |text| EndpointName::parse(&text));
        let allow_private = allow_private.unwrap_or(false);
        let target = check.required(&option("url"), url, |text| Target::parse(&text, allow_private));
        let secret = check.secret(&option("secret"), secret, secret_file.as_deref());
        let secret = check.required(&option("secret"), secret, |text| WebhookSecret::parse(&text));
        let events = check.or(&option("events"), events, |list| parse_events(&list), WebhookEvents::All);
        let (Some(name), Some(target), Some(secret)) = (name, target, secret) else { continue };
        if endpoints.iter().any(|endpoint| endpoint.name == name) {
            check.note(&option("name"), "is the name of another endpoint");
        }
        endpoints.push(WebhookSettings { name, secret, events, route: WebhookRoute::Http(target) });
    }
    endpoints
}

fn parse_events(list: &List) -> Result<WebhookEvents, String> {
    if list.0.is_empty() {
        return Err("must name kinds of events, such as login, or be left out for all".to_owned());
    }
    if list.0.iter().any(|name| name == "*") {
        return Ok(WebhookEvents::All);
    }
    let kind =
        |name: &String| EventKind::from_name(name).ok_or_else(|| format!("names {name:?}, which is no kind of event"));
    list.0.iter().map(kind).collect::<Result<_, _>>().map(WebhookEvents::Only)
}
