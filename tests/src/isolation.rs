//! A matrix of requests for what somebody owns: every route that takes an id, with every kind of id and every kind of
//! access token. It knows nothing of what is owned, so it serves for an embedding service's own tables as well.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{Answer, Client, PASSWORD};

/// The secret of HS256 that the service under test signs with, so that an expired token can be made.
pub const SECRET: &str = "J0k9u1XlR3bQ7mZ2vYw8TsC5nEhA4dGpLqFxViKoUyM=";

/// Ids that name nobody and nothing.
const MALFORMED: [&str; 10] = [
    "x",
    "0",
    "null",
    "*",
    "%00",
    "%FF",
    "1%20OR%201=1",
    "019a0000000070008000000000000000",
    "%7B019a0000-0000-7000-8000-000000000000%7D",
    "019a0000-0000-7000-8000-00000000000g",
];
/// An id that nobody and nothing has.
const UNKNOWN: &str = "019a0000-0000-7000-8000-000000000000";

/// A route; its path may have the parameters `{user_id}` and `{id}`. A text `{n}` in the body is another one each time,
/// so that whatever is written shows.
#[derive(Clone, Debug)]
pub struct Route {
    pub method: Method,
    pub path: &'static str,
    pub body: Option<Value>,
}

impl Route {
    pub fn new(method: Method, path: &'static str) -> Self {
        Self { method, path, body: None }
    }

    pub fn with_body(self, body: Value) -> Self {
        Self { body: Some(body), ..self }
    }
}

/// What is owned, as the matrix makes, sees and asks for it.
pub struct Resource {
    pub make: Make,
    /// Where `GET` shows one.
    pub show: &'static str,
    /// Where `DELETE` deletes one.
    pub delete: &'static str,
    /// Whether one that was deleted is as one that never was.
    pub deleted_is_unknown: bool,
    /// Every route that takes an id.
    pub routes: Vec<Route>,
}

/// How one comes to be.
pub enum Make {
    /// A request that is answered with its `id`.
    Request(Route),
    /// By logging in: a session.
    LogIn,
}

/// Somebody with an account, and something that is theirs.
struct Person {
    email: &'static str,
    id: String,
    token: String,
    expired: String,
    revoked: String,
    item: String,
}

/// Whose access token, and whether it is still good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bearer {
    Nobody,
    Own,
    Other,
    Expired,
    Revoked,
}

/// What stands where an id belongs.
#[derive(Clone, Debug)]
enum Named {
    /// `me`, where a user belongs.
    Me,
    Own,
    Other,
    /// In capitals, which is the same id.
    OwnInCapitals,
    /// Something that nobody has or that is no id.
    Nothing(String),
}

/// What the matrix found.
#[derive(Debug, Default)]
pub struct Report {
    pub requests: usize,
    pub succeeded: usize,
    pub not_found: usize,
    pub unauthenticated: usize,
}

/// Runs the matrix against a service. `accounts` reaches Doorward's own routes, `client` those of the resource.
pub async fn run(accounts: &Client, client: &Client, resource: &Resource) -> Report {
    let mut own = person(accounts, "ada@example.com").await;
    let mut other = person(accounts, "eve@example.com").await;
    let deleted_user = person(accounts, "gone@example.com").await;
    accounts.delete_me(&deleted_user.token, PASSWORD).await.answered(204);
    for person in [&mut own, &mut other] {
        person.item = make(accounts, client, resource, person).await;
    }
    let deleted_item = make(accounts, client, resource, &own).await;
    let deletion = resource.delete.replace("{user_id}", "me").replace("{id}", &deleted_item);
    ask(client, &Route::new(Method::DELETE, resource.delete), &deletion, Some(&own.token)).await.answered(204);
    let deleted_item = if resource.deleted_is_unknown { deleted_item } else { UNKNOWN.to_owned() };

    let mut report = Report::default();
    let mut not_found = BTreeSet::new();
    let mut unauthenticated = [BTreeSet::new(), BTreeSet::new()];
    for route in &resource.routes {
        for user in &users(route, &deleted_user.id) {
            for item in &items(route, &deleted_item) {
                let (user, item) = (user.as_ref(), item.as_ref());
                if both_are_odd(user, item) {
                    continue;
                }
                for bearer in [Bearer::Nobody, Bearer::Own, Bearer::Other, Bearer::Expired, Bearer::Revoked] {
                    let cell = format!("{} {} user {user:?} item {item:?} by {bearer:?}", route.method, route.path);
                    let path = path(route, user, item, &own, &other);
                    let before = seen(client, resource, [&own, &other]).await;
                    let body = route.body.as_ref().map(|body| numbered(body, report.requests));
                    let numbered = Route { body, ..route.clone() };
                    let answer = ask(client, &numbered, &path, token(bearer, &own, &other)).await;
                    let after = seen(client, resource, [&own, &other]).await;
                    report.requests += 1;
                    let allowed = match bearer {
                        Bearer::Own => is(user, Named::is_own) && is(item, Named::is_own),
                        Bearer::Other => is(user, Named::is_other) && is(item, Named::is_other),
                        Bearer::Nobody | Bearer::Expired | Bearer::Revoked => false,
                    };
                    match bearer {
                        Bearer::Nobody | Bearer::Expired | Bearer::Revoked => {
                            answer.refused(401, "unauthenticated");
                            unauthenticated[usize::from(bearer != Bearer::Nobody)].insert(fingerprint(&answer));
                            assert_eq!(before, after, "{cell}");
                            report.unauthenticated += 1;
                        }
                        Bearer::Own | Bearer::Other if allowed => {
                            assert!(answer.status.is_success(), "{cell}: {answer:?}");
                            let (mine, theirs) = if bearer == Bearer::Own { (0, 1) } else { (1, 0) };
                            assert_eq!(before[theirs], after[theirs], "{cell}");
                            let shows = route.method == Method::GET || route.method == Method::POST;
                            assert_eq!(before[mine] == after[mine], shows, "{cell}: {:?}", after[mine]);
                            report.succeeded += 1;
                        }
                        Bearer::Own | Bearer::Other => {
                            answer.refused(404, "not_found");
                            not_found.insert(fingerprint(&answer));
                            assert_eq!(before, after, "{cell}");
                            report.not_found += 1;
                        }
                    }
                    if allowed && route.method == Method::DELETE {
                        let person = if bearer == Bearer::Own { &mut own } else { &mut other };
                        person.item = make(accounts, client, resource, person).await;
                    }
                }
            }
        }
    }
    assert_eq!(not_found.len(), 1, "not found is told apart: {not_found:#?}");
    for answers in &unauthenticated {
        assert_eq!(answers.len(), 1, "unauthenticated is told apart: {answers:#?}");
    }
    assert_ne!(unauthenticated[0], unauthenticated[1], "RFC 6750 section 3.1: no error code where no token came");
    report
}

impl Named {
    fn is_own(&self) -> bool {
        matches!(self, Self::Me | Self::Own | Self::OwnInCapitals)
    }

    fn is_other(&self) -> bool {
        matches!(self, Self::Me | Self::Other)
    }
}

/// Whether neither of the two names anything and one of them does so in an odd way: the odd ones need to meet all that
/// names somebody or something, and not each other.
fn both_are_odd(user: Option<&Named>, item: Option<&Named>) -> bool {
    match (user, item) {
        (Some(Named::Nothing(user)), Some(Named::Nothing(item))) => {
            [user, item].into_iter().any(|text| MALFORMED.into_iter().skip(1).any(|odd| odd == *text))
        }
        _ => false,
    }
}

/// A path without the parameter speaks of what is one's own.
fn is(named: Option<&Named>, whose: impl Fn(&Named) -> bool) -> bool {
    named.is_none_or(whose)
}

fn users(route: &Route, deleted: &str) -> Vec<Option<Named>> {
    let known = [Named::Me, Named::Own, Named::OwnInCapitals, Named::Other];
    values(route, "{user_id}", known.to_vec(), deleted)
}

fn items(route: &Route, deleted: &str) -> Vec<Option<Named>> {
    values(route, "{id}", vec![Named::Own, Named::OwnInCapitals, Named::Other], deleted)
}

fn values(route: &Route, parameter: &str, mut known: Vec<Named>, deleted: &str) -> Vec<Option<Named>> {
    if !route.path.contains(parameter) {
        return vec![None];
    }
    known.extend([UNKNOWN, deleted].into_iter().chain(MALFORMED).map(|text| Named::Nothing(text.to_owned())));
    known.into_iter().map(Some).collect()
}

fn path(route: &Route, user: Option<&Named>, item: Option<&Named>, own: &Person, other: &Person) -> String {
    let text = |named: Option<&Named>, of: fn(&Person) -> &str| match named {
        None => String::new(),
        Some(Named::Me) => "me".to_owned(),
        Some(Named::Own) => of(own).to_owned(),
        Some(Named::OwnInCapitals) => of(own).to_uppercase(),
        Some(Named::Other) => of(other).to_owned(),
        Some(Named::Nothing(text)) => text.clone(),
    };
    let path = route.path.replace("{user_id}", &text(user, |person| &person.id));
    path.replace("{id}", &text(item, |person| &person.item))
}

fn token<'a>(bearer: Bearer, own: &'a Person, other: &'a Person) -> Option<&'a str> {
    match bearer {
        Bearer::Nobody => None,
        Bearer::Own => Some(&own.token),
        Bearer::Other => Some(&other.token),
        Bearer::Expired => Some(&own.expired),
        Bearer::Revoked => Some(&own.revoked),
    }
}

fn numbered(body: &Value, n: usize) -> Value {
    serde_json::from_str(&body.to_string().replace("{n}", &n.to_string())).unwrap()
}

async fn ask(client: &Client, route: &Route, path: &str, token: Option<&str>) -> Answer {
    // The same id each time, since it is the one thing that answers may differ in.
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers = vec![("x-request-id", "matrix")];
    headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
    client.send(route.method.clone(), path, &headers, route.body.as_ref()).await.unwrap()
}

/// Everything of an answer but the time.
fn fingerprint(answer: &Answer) -> String {
    let mut headers: Vec<_> = answer.headers.iter().filter(|(name, _)| *name != "date").collect();
    headers.sort_by_key(|(name, _)| name.as_str());
    format!("{} {headers:?} {}", answer.status, answer.text)
}

/// What both own, as each of them sees it.
async fn seen(client: &Client, resource: &Resource, people: [&Person; 2]) -> Vec<(u16, String)> {
    let mut seen = Vec::new();
    for person in people {
        let route = Route::new(Method::GET, resource.show);
        let path = path(&route, Some(&Named::Me), Some(&Named::Own), person, person);
        let answer = ask(client, &route, &path, Some(&person.token)).await;
        let lines = answer.text.split(',').filter(|field| !field.contains("last_seen_at"));
        seen.push((answer.status.as_u16(), lines.collect()));
    }
    seen
}

async fn make(accounts: &Client, client: &Client, resource: &Resource, person: &Person) -> String {
    match &resource.make {
        Make::LogIn => accounts.log_in(person.email).await.grant().session_id,
        Make::Request(route) => {
            let path = path(route, Some(&Named::Me), None, person, person);
            let answer = ask(client, route, &path, Some(&person.token)).await;
            assert!(answer.status.is_success(), "{answer:?}");
            answer.json()["id"].as_str().unwrap().to_owned()
        }
    }
}

async fn person(accounts: &Client, email: &'static str) -> Person {
    let grant = accounts.register(email).await.grant();
    let revoked = accounts.log_in(email).await.grant().access_token;
    accounts.log_out(&revoked).await.answered(204);
    let expired = expired(&grant.access_token);
    Person { email, id: grant.user_id, token: grant.access_token, expired, revoked, item: String::new() }
}

/// The same token as of a day ago, signed as the service signs.
fn expired(token: &str) -> String {
    let mut parts = token.split('.');
    let (header, claims) = (parts.next().unwrap(), parts.next().unwrap());
    let mut claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    for name in ["exp", "iat", "nbf", "auth_time"] {
        claims[name] = json!(claims[name].as_i64().unwrap() - 86_400);
    }
    let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}
