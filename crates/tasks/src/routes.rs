//! The endpoints.

use axum::Json;
use axum::Router;
use axum::extract::{FromRef, OriginalUri, State};
use axum::http::StatusCode;
use axum::http::header::{ETAG, LOCATION};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch};
use doorward_auth::Unauthenticated;
use doorward_http::body::{Body, Fields, FromFields, Query};
use doorward_http::problem::{FieldError, Kind, Problem};
use doorward_http::{AccessGuard, OwnedItem, Owner, cursor};
use serde::Serialize;

use crate::if_match::IfMatch;
use crate::{
    ChangeTaskError, CreateTaskError, Description, InvalidDescription, InvalidTitle, ListTasks, Task, TaskContent,
    TaskId, Tasks, Title,
};

#[derive(Clone)]
struct Shared {
    guard: AccessGuard,
    tasks: Tasks,
}

impl FromRef<Shared> for AccessGuard {
    fn from_ref(shared: &Shared) -> Self {
        shared.guard.clone()
    }
}

impl FromRef<Shared> for Tasks {
    fn from_ref(shared: &Shared) -> Self {
        shared.tasks.clone()
    }
}

/// The routes, to be served beside Doorward's own.
pub fn routes(guard: AccessGuard, tasks: Tasks) -> Router {
    Router::new()
        .route("/api/users/{user_id}/tasks", get(list).post(create))
        .route("/api/users/{user_id}/tasks/{id}", get(read).put(replace).delete(delete))
        .route("/api/users/{user_id}/tasks/{id}/complete", patch(complete))
        .with_state(Shared { guard, tasks })
}

#[derive(Serialize)]
pub(crate) struct TaskView<'a> {
    id: String,
    title: &'a str,
    description: Option<&'a str>,
    completed: bool,
    version: i64,
    created_at: String,
    updated_at: String,
}

impl<'a> From<&'a Task> for TaskView<'a> {
    fn from(task: &'a Task) -> Self {
        Self {
            id: task.id.to_string(),
            title: task.content.title.as_str(),
            description: task.content.description.as_ref().map(Description::as_str),
            completed: task.completed,
            version: task.version.number(),
            created_at: task.created_at.to_rfc3339(),
            updated_at: task.updated_at.to_rfc3339(),
        }
    }
}

#[derive(Serialize)]
struct PageView<'a> {
    tasks: Vec<TaskView<'a>>,
    next_cursor: Option<String>,
}

/// A task and its entity tag.
fn answer(task: &Task) -> Response {
    ([(ETAG, format!("\"{}\"", task.version.number()))], Json(TaskView::from(task))).into_response()
}

async fn list(
    owner: Owner,
    Query(ListQuery(list)): Query<ListQuery>,
    State(tasks): State<Tasks>,
) -> Result<Response, Problem> {
    let page = tasks.list(owner.scope(), list).await?;
    let tasks = page.tasks.iter().map(TaskView::from).collect();
    Ok(Json(PageView { tasks, next_cursor: page.next.map(|next| cursor::of(next.uuid())) }).into_response())
}

async fn create(
    owner: Owner,
    State(tasks): State<Tasks>,
    OriginalUri(uri): OriginalUri,
    Body(ContentBody(content)): Body<ContentBody>,
) -> Result<Response, Problem> {
    let task = tasks.create(owner.scope(), content).await?;
    let location = format!("{}/{}", uri.path(), task.id);
    Ok((StatusCode::CREATED, [(LOCATION, location)], answer(&task)).into_response())
}

async fn read(item: OwnedItem, if_match: IfMatch, State(tasks): State<Tasks>) -> Result<Response, Problem> {
    let found = tasks.task(item.scope(), id(&item), &if_match).await;
    Ok(answer(&settled(&item, found).await?))
}

async fn replace(
    item: OwnedItem,
    if_match: IfMatch,
    State(tasks): State<Tasks>,
    Body(ContentBody(content)): Body<ContentBody>,
) -> Result<Response, Problem> {
    let replaced = tasks.replace(item.scope(), id(&item), &content, &if_match).await;
    Ok(answer(&settled(&item, replaced).await?))
}

async fn complete(
    item: OwnedItem,
    if_match: IfMatch,
    State(tasks): State<Tasks>,
    Body(CompleteBody { completed }): Body<CompleteBody>,
) -> Result<Response, Problem> {
    let changed = tasks.complete(item.scope(), id(&item), completed, &if_match).await;
    Ok(answer(&settled(&item, changed).await?))
}

async fn delete(item: OwnedItem, if_match: IfMatch, State(tasks): State<Tasks>) -> Result<StatusCode, Problem> {
    let deleted = tasks.delete(item.scope(), id(&item), &if_match).await;
    settled(&item, deleted).await?;
    Ok(StatusCode::NO_CONTENT)
}

const fn id(item: &OwnedItem) -> TaskId {
    TaskId::from_uuid(item.id())
}

/// What a use case gave, or the problem that its error becomes.
async fn settled<T>(item: &OwnedItem, outcome: Result<T, ChangeTaskError>) -> Result<T, Problem> {
    match outcome {
        Ok(value) => Ok(value),
        Err(ChangeTaskError::NotFound) => Err(item.not_found().await),
        Err(ChangeTaskError::VersionConflict) => Err(Kind::VersionConflict.into()),
        Err(ChangeTaskError::Fault(fault)) => Err(fault.into()),
    }
}

impl From<CreateTaskError> for Problem {
    fn from(error: CreateTaskError) -> Self {
        match error {
            CreateTaskError::QuotaExceeded => {
                Self::from(Kind::QuotaExceeded).with_detail("You have as many tasks as one may have; delete some first")
            }
            CreateTaskError::OwnerGone => Unauthenticated.into(),
            CreateTaskError::Fault(fault) => fault.into(),
        }
    }
}

pub(crate) struct ContentBody(pub(crate) TaskContent);

impl FromFields for ContentBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let title = fields.text("title").and_then(|text| fields.noting(Title::parse(&text).map_err(title_error)));
        let description = fields
            .optional_text("description")
            .map(|text| fields.noting(Description::parse(&text).map_err(description_error)));
        Some(Self(TaskContent { title: title?, description: description.flatten() }))
    }
}

struct CompleteBody {
    completed: bool,
}

impl FromFields for CompleteBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self { completed: fields.boolean("completed")? })
    }
}

struct ListQuery(ListTasks);

impl FromFields for ListQuery {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let mut list = ListTasks::default();
        if let Some(text) = fields.optional_text("completed") {
            list.completed = fields.noting(parse_completed(&text));
        }
        list.limit = fields.limit(ListTasks::LONGEST).unwrap_or(list.limit);
        list.before = fields.cursor().map_or(list.before, TaskId::from_uuid);
        Some(Self(list))
    }
}

fn parse_completed(text: &str) -> Result<bool, FieldError> {
    text.parse().map_err(|_| FieldError::new("completed", "wrong_type", "must be true or false"))
}

fn title_error(refused: InvalidTitle) -> FieldError {
    let code = match refused {
        InvalidTitle::Blank => "too_short",
        InvalidTitle::TooLong => "too_long",
        InvalidTitle::ControlCharacter => "invalid_character",
    };
    FieldError::new("title", code, refused.to_string())
}

fn description_error(refused: InvalidDescription) -> FieldError {
    let code = match refused {
        InvalidDescription::TooLong => "too_long",
        InvalidDescription::ControlCharacter => "invalid_character",
    };
    FieldError::new("description", code, refused.to_string())
}
