//! The pages of the task list, which need no script; `tasks.js` does the same through the endpoints where it may run.

use axum::Router;
use axum::extract::{FromRef, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use doorward_auth::Auth;
use doorward_http::body::{Fields, FromFields};
use doorward_http::cursor;
use doorward_http::pages::{Form, Page, PageItem, PageSet, PageUser};
use doorward_http::problem::{FieldError, Kind, Problem};

use crate::routes::{ContentBody, TaskView};
use crate::{ChangeTaskError, IfMatch, ListTasks, Task, TaskId, Tasks, Version};

/// The templates, texts and assets of the task list.
pub const PAGES: PageSet = PageSet {
    templates: &[
        ("tasks.html", include_str!("../templates/tasks.html")),
        ("task.html", include_str!("../templates/task.html")),
        ("task_row.html", include_str!("../templates/task_row.html")),
    ],
    texts: &[("en", include_str!("../texts/en.toml")), ("de", include_str!("../texts/de.toml"))],
    assets: &[("tasks.css", include_str!("../assets/tasks.css")), ("tasks.js", include_str!("../assets/tasks.js"))],
};

#[derive(Clone)]
struct Shared {
    auth: Auth,
    tasks: Tasks,
}

impl FromRef<Shared> for Auth {
    fn from_ref(shared: &Shared) -> Self {
        shared.auth.clone()
    }
}

impl FromRef<Shared> for Tasks {
    fn from_ref(shared: &Shared) -> Self {
        shared.tasks.clone()
    }
}

/// The pages, to be served beside Doorward's own, whose pages were made with [`PAGES`].
pub fn pages(auth: Auth, tasks: Tasks) -> Router {
    Router::new()
        .route("/tasks", get(list).post(create))
        .route("/tasks/{id}", get(read).post(replace))
        .route("/tasks/{id}/complete", post(complete))
        .route("/tasks/{id}/delete", post(delete))
        .with_state(Shared { auth, tasks })
}

/// Which tasks a list shows.
#[derive(Clone, Copy)]
struct Filter(Option<bool>);

impl Filter {
    const fn name(self) -> &'static str {
        match self.0 {
            None => "all",
            Some(false) => "open",
            Some(true) => "done",
        }
    }

    fn of_name(name: Option<&str>) -> Self {
        Self(match name {
            Some("open") => Some(false),
            Some("done") => Some(true),
            _ => None,
        })
    }

    /// The path of the list, with more for its query.
    fn path(self, more: &str) -> String {
        let completed = self.0.map_or(String::new(), |completed| format!("completed={completed}"));
        let joined = [completed.as_str(), more].iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>();
        if joined.is_empty() { "/tasks".to_owned() } else { format!("/tasks?{}", joined.join("&")) }
    }
}

/// The list, as the query asks for it. What the query says and cannot be read is left out: a link shows something.
async fn shown(user: &PageUser, tasks: &Tasks) -> Result<Page, Problem> {
    let filter = Filter(user.query("completed").and_then(|completed| completed.parse().ok()));
    let before = user.query("cursor").and_then(cursor::parse).map(TaskId::from_uuid);
    let wanted = ListTasks { completed: filter.0, ..ListTasks::default() };
    let wanted = ListTasks { before: before.unwrap_or(wanted.before), ..wanted };
    let found = tasks.list(&user.user().scope(), wanted).await?;
    let next = found.next.map(|next| filter.path(&format!("cursor={}", cursor::of(next.uuid()))));
    let page = user.page("tasks").with("tasks", found.tasks.iter().map(TaskView::from).collect::<Vec<_>>());
    Ok(page.with("filter", filter.name()).with("next", next))
}

async fn list(user: PageUser, State(tasks): State<Tasks>) -> Result<Page, Problem> {
    shown(&user, &tasks).await
}

async fn create(user: PageUser, State(tasks): State<Tasks>, form: Form) -> Result<Response, Problem> {
    let created = match form.read::<ContentBody>() {
        Ok(ContentBody(content)) => tasks.create(&user.user().scope(), content).await.map_err(Problem::from),
        Err(errors) => Err(Problem::validation(errors)),
    };
    match created {
        Ok(_) => Ok(user.redirect("/tasks?done=task_created")),
        Err(problem) => Ok(shown(&user, &tasks).await?.refused(&problem, &form).into_response()),
    }
}

/// The page of one task.
fn one(user: &PageUser, task: &Task) -> Page {
    user.page("task").with("task", TaskView::from(task)).with("conflict", ())
}

async fn read(item: PageItem, State(tasks): State<Tasks>) -> Result<Page, Problem> {
    Ok(one(&item, &found(&item, &tasks).await?))
}

const fn id(item: &PageItem) -> TaskId {
    TaskId::from_uuid(item.id())
}

/// The task that the path names.
async fn found(item: &PageItem, tasks: &Tasks) -> Result<Task, Problem> {
    match tasks.task(&item.user().scope(), id(item), &IfMatch::Any).await {
        Ok(task) => Ok(task),
        Err(error) => Err(refused(item, error).await),
    }
}

/// What the error of a change becomes.
async fn refused(user: &PageUser, error: ChangeTaskError) -> Problem {
    match error {
        ChangeTaskError::NotFound => user.not_found().await,
        ChangeTaskError::VersionConflict => Kind::VersionConflict.into(),
        ChangeTaskError::Fault(fault) => fault.into(),
    }
}

/// The version that a form was made for.
fn version(fields: &mut Fields) -> Option<Version> {
    let number = fields.text("version")?.parse().map(Version::new);
    fields.noting(number.map_err(|_| FieldError::new("version", "wrong_type", "must be a number")))
}

struct ReplaceForm {
    content: ContentBody,
    version: Version,
}

impl FromFields for ReplaceForm {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let (content, version) = (ContentBody::from_fields(fields), version(fields));
        Some(Self { content: content?, version: version? })
    }
}

async fn replace(item: PageItem, State(tasks): State<Tasks>, form: Form) -> Result<Response, Problem> {
    let replaced = match form.read::<ReplaceForm>() {
        Ok(ReplaceForm { content: ContentBody(content), version }) => {
            let if_match = IfMatch::Versions(vec![version]);
            tasks.replace(&item.user().scope(), id(&item), &content, &if_match).await
        }
        Err(errors) => {
            let page = one(&item, &found(&item, &tasks).await?);
            return Ok(page.refused(&Problem::validation(errors), &form).into_response());
        }
    };
    match replaced {
        Ok(_) => Ok(item.redirect("/tasks?done=task_saved")),
        Err(ChangeTaskError::VersionConflict) => {
            // What was typed is shown beside what somebody wrote meanwhile.
            let now = found(&item, &tasks).await?;
            let page = one(&item, &now).refused(&Kind::VersionConflict.into(), &form);
            Ok(page.with("conflict", TaskView::from(&now)).into_response())
        }
        Err(error) => Err(refused(&item, error).await),
    }
}

struct CompleteForm {
    completed: bool,
    version: Version,
}

impl FromFields for CompleteForm {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        fields.optional_text("filter");
        let completed = fields.text("completed").map(|text| text == "true");
        let version = version(fields);
        Some(Self { completed: completed?, version: version? })
    }
}

async fn complete(item: PageItem, State(tasks): State<Tasks>, form: Form) -> Result<Response, Problem> {
    let CompleteForm { completed, version } = read_for(&item, &tasks, &form).await?;
    let if_match = IfMatch::Versions(vec![version]);
    let changed = tasks.complete(&item.user().scope(), id(&item), completed, &if_match).await;
    back(&item, &tasks, &form, changed.map(|_| "task_saved")).await
}

struct DeleteForm {
    version: Version,
}

impl FromFields for DeleteForm {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        fields.optional_text("filter");
        Some(Self { version: version(fields)? })
    }
}

async fn delete(item: PageItem, State(tasks): State<Tasks>, form: Form) -> Result<Response, Problem> {
    let DeleteForm { version } = read_for(&item, &tasks, &form).await?;
    let deleted = tasks.delete(&item.user().scope(), id(&item), &IfMatch::Versions(vec![version])).await;
    back(&item, &tasks, &form, deleted.map(|()| "task_deleted")).await
}

/// What the form says of a task. Who has no such task is told that and not what is wrong with the form.
async fn read_for<T: FromFields>(item: &PageItem, tasks: &Tasks, form: &Form) -> Result<T, Problem> {
    match form.read() {
        Ok(read) => Ok(read),
        Err(errors) => {
            found(item, tasks).await?;
            Err(Problem::validation(errors))
        }
    }
}

/// Back to the list that the form was on, or to the task that has changed meanwhile.
async fn back(
    item: &PageItem,
    tasks: &Tasks,
    form: &Form,
    outcome: Result<&'static str, ChangeTaskError>,
) -> Result<Response, Problem> {
    match outcome {
        Ok(done) => Ok(item.redirect(&Filter::of_name(form.value("filter")).path(&format!("done={done}")))),
        Err(ChangeTaskError::VersionConflict) => {
            let page = one(item, &found(item, tasks).await?);
            // The form that is shown now is made for what is there now.
            Ok(page.told(&Kind::VersionConflict.into()).into_response())
        }
        Err(error) => Err(refused(item, error).await),
    }
}
