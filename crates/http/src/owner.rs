use std::ops::Deref;

use axum::extract::{FromRef, FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use doorward_domain::{Client, EventReason, OwnerScope};
use uuid::Uuid;

use crate::problem::{Kind, Problem};
use crate::{AccessGuard, CurrentUser};

/// The user that the request's access token names, as the owner of what the path names.
///
/// Where the path has a parameter `user_id`, it is the user's own id or `me`; anything else is 404 before anything is
/// read, be it another user's id, one that nobody has or no id at all. Roles make no difference.
///
/// ```
/// use axum::{Router, routing::get};
/// use doorward_http::{AccessGuard, Owner};
///
/// async fn notes(owner: Owner) -> String {
///     format!("the notes of {}", owner.scope().owner())
/// }
///
/// fn router(guard: AccessGuard) -> Router {
///     Router::new().route("/users/{user_id}/notes", get(notes)).with_state(guard)
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Owner {
    user: CurrentUser,
    scope: OwnerScope,
    guard: AccessGuard,
    client: Client,
}

/// An [`Owner`], and the path's parameter `id`, which may name something that the owner has. What is no id names
/// nothing.
///
/// ```
/// use std::collections::HashMap;
///
/// use axum::extract::State;
/// use doorward_domain::UserId;
/// use doorward_http::OwnedItem;
/// use doorward_http::problem::Problem;
/// use uuid::Uuid;
///
/// type Notes = HashMap<(UserId, Uuid), String>;
///
/// async fn note(State(notes): State<Notes>, item: OwnedItem) -> Result<String, Problem> {
///     match notes.get(&(item.scope().owner(), item.id())) {
///         Some(note) => Ok(note.clone()),
///         None => Err(item.not_found().await),
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct OwnedItem {
    owner: Owner,
    id: Uuid,
}

impl Owner {
    /// The proof that repositories of owned data ask for.
    #[must_use]
    pub const fn scope(&self) -> &OwnerScope {
        &self.scope
    }

    /// Who it is.
    #[must_use]
    pub const fn user(&self) -> &CurrentUser {
        &self.user
    }

    /// The answer to a request for something that the owner does not have, which goes on record: it may be somebody
    /// else's.
    pub async fn not_found(&self) -> Problem {
        refused(&self.guard, &self.user, EventReason::UnknownResource, &self.client).await
    }
}

impl OwnedItem {
    /// The id that the path names.
    #[must_use]
    pub const fn id(&self) -> Uuid {
        self.id
    }
}

impl Deref for OwnedItem {
    type Target = Owner;

    fn deref(&self) -> &Owner {
        &self.owner
    }
}

/// One answer for whatever is not there for this user.
async fn refused(guard: &AccessGuard, user: &CurrentUser, reason: EventReason, client: &Client) -> Problem {
    match guard.note_refused_access(user, reason, client).await {
        Ok(()) => Kind::NotFound.into(),
        Err(fault) => fault.into(),
    }
}

impl<S> FromRequestParts<S> for Owner
where
    S: Send + Sync,
    AccessGuard: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let user = CurrentUser::from_request_parts(parts, state).await?;
        let guard = AccessGuard::from_ref(state);
        let client = client(parts);
        let scope = match parameter(parts, "user_id").await {
            Parameter::Absent => Some(user.scope()),
            Parameter::Text(owner) => user.scope_of(&owner),
            Parameter::Unreadable => None,
        };
        match scope {
            Some(scope) => Ok(Self { user, scope, guard, client }),
            None => Err(refused(&guard, &user, EventReason::OtherOwner, &client).await),
        }
    }
}

impl<S> FromRequestParts<S> for OwnedItem
where
    S: Send + Sync,
    AccessGuard: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let owner = Owner::from_request_parts(parts, state).await?;
        match id_in_path(parts).await {
            Some(id) => Ok(Self { owner, id }),
            None => Err(owner.not_found().await),
        }
    }
}

/// The id that the path's parameter `id` names; `None` for what is no id, which names nothing.
pub(crate) async fn id_in_path(parts: &mut Parts) -> Option<Uuid> {
    match parameter(parts, "id").await {
        Parameter::Text(text) => hyphenated(&text),
        Parameter::Absent | Parameter::Unreadable => None,
    }
}

/// A UUID in the form in which Doorward writes it. The other forms that parsers take would be further names of one
/// thing.
fn hyphenated(text: &str) -> Option<Uuid> {
    let id = Uuid::try_parse(text).ok()?;
    (text.len() == uuid::fmt::Hyphenated::LENGTH).then_some(id)
}

/// A parameter of the path.
enum Parameter {
    /// The route has none of this name.
    Absent,
    Text(String),
    /// Not UTF-8.
    Unreadable,
}

async fn parameter(parts: &mut Parts, name: &str) -> Parameter {
    use axum::extract::rejection::RawPathParamsRejection;
    match RawPathParams::from_request_parts(parts, &()).await {
        Ok(parameters) => match parameters.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => Parameter::Text(text.to_owned()),
            None => Parameter::Absent,
        },
        Err(RawPathParamsRejection::MissingPathParams(_)) => Parameter::Absent,
        Err(_) => Parameter::Unreadable,
    }
}

#[cfg(feature = "server")]
pub(crate) fn client(parts: &Parts) -> Client {
    crate::ComesFrom::of(parts).0
}

/// What a service that only verifies tokens knows of its clients is its own.
#[cfg(not(feature = "server"))]
pub(crate) fn client(_: &Parts) -> Client {
    Client::default()
}

#[cfg(test)]
#[cfg(feature = "verifier")]
mod tests {
    use std::sync::{Arc, Mutex};

    use async_trait::async_trait;
    use axum::Router;
    use axum::body::Body;
    use axum::http::{Request, StatusCode};
    use axum::routing::get;
    use doorward_auth::{AuthenticationError, Fault};
    use secrecy::SecretString;
    use tower::ServiceExt as _;

    use super::*;
    use crate::Authenticate;
    use crate::verifier::Verifier;
    use crate::verifier::testing::{SharedIssuer, USER};

    /// A guard that remembers which refusals were put on record.
    #[derive(Clone)]
    struct Recording {
        verifier: Verifier,
        refusals: Arc<Mutex<Vec<EventReason>>>,
    }

    #[async_trait]
    impl Authenticate for Recording {
        async fn authenticate(&self, token: &SecretString) -> Result<doorward_auth::CurrentUser, AuthenticationError> {
            self.verifier.authenticate(token).await
        }

        async fn note_refused_access(
            &self,
            _: &doorward_auth::CurrentUser,
            reason: EventReason,
            _: &Client,
        ) -> Result<(), Fault> {
            self.refusals.lock().unwrap().push(reason);
            Ok(())
        }
    }

    struct Stage {
        router: Router,
        token: String,
        refusals: Arc<Mutex<Vec<EventReason>>>,
    }

    impl Stage {
        async fn start() -> Self {
            let issuer = SharedIssuer::default();
            let refusals = Arc::new(Mutex::new(Vec::new()));
            let recording = Recording { verifier: issuer.verifier().await, refusals: Arc::clone(&refusals) };
            let router = Router::new()
                .route("/users/{user_id}/notes", get(async |owner: Owner| owner.scope().owner().to_string()))
                .route("/users/{user_id}/notes/{id}", get(async |item: OwnedItem| item.id().to_string()))
                .route("/notes", get(async |owner: Owner| owner.scope().owner().to_string()))
                .route("/notes/{id}", get(async |item: OwnedItem| item.id().to_string()))
                .route("/missing", get(async |owner: Owner| owner.not_found().await))
                .with_state(AccessGuard::new(recording));
            Self { router, token: issuer.token(&["admin"]), refusals }
        }

        /// The status, and which refusals went on record.
        async fn ask(&self, path: &str) -> (StatusCode, Vec<EventReason>) {
            let request = Request::get(path).header("authorization", format!("Bearer {}", self.token));
            let response = self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
            (response.status(), std::mem::take(&mut *self.refusals.lock().unwrap()))
        }
    }

    const ID: &str = "019a0000-0000-7000-8000-000000000000";

    #[tokio::test]
    async fn a_path_names_its_own_user_or_nobody() {
        let stage = Stage::start().await;
        let own = USER.to_string();
        for name in ["me", "%6De", &own, &own.to_uppercase()] {
            assert_eq!(stage.ask(&format!("/users/{name}/notes")).await, (StatusCode::OK, vec![]), "{name}");
            assert_eq!(stage.ask(&format!("/users/{name}/notes/{ID}")).await, (StatusCode::OK, vec![]), "{name}");
        }
        let refused = (StatusCode::NOT_FOUND, vec![EventReason::OtherOwner]);
        for name in [ID, "Me", "x", "%FF", "%00", &own.replace('-', ""), &format!("%7B{own}%7D"), "*"] {
            assert_eq!(stage.ask(&format!("/users/{name}/notes")).await, refused, "{name}");
            assert_eq!(stage.ask(&format!("/users/{name}/notes/{ID}")).await, refused, "{name}");
        }
    }

    #[tokio::test]
    async fn what_is_no_id_names_nothing_and_goes_on_record_as_what_is_not_there() {
        let stage = Stage::start().await;
        assert_eq!(stage.ask(&format!("/notes/{}", ID.to_uppercase())).await, (StatusCode::OK, vec![]));
        let refused = (StatusCode::NOT_FOUND, vec![EventReason::UnknownResource]);
        assert_eq!(stage.ask("/missing").await, refused);
        for id in ["x", &ID.replace('-', ""), &format!("urn:uuid:{ID}"), &format!("%7B{ID}%7D"), "%20"] {
            assert_eq!(stage.ask(&format!("/notes/{id}")).await, refused, "{id}");
            assert_eq!(stage.ask(&format!("/users/me/notes/{id}")).await, refused, "{id}");
        }
    }

    #[tokio::test]
    async fn nobody_is_told_what_there_is() {
        let stage = Stage::start().await;
        for path in ["/notes", "/users/me/notes", "/users/x/notes", "/notes/x"] {
            let request = Request::get(path).body(Body::empty()).unwrap();
            let response = stage.router.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{path}");
        }
        assert!(stage.refusals.lock().unwrap().is_empty());
    }
}
