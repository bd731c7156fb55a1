//! Notes that belong to users: no request reaches a note that is not its user's.

use axum::extract::{FromRef, State};
use axum::http::StatusCode;
use axum::{Json, Router, routing::get};
use doorward_domain::{OwnerScope, StoreError};
use doorward_http::body::{Body, Fields, FromFields};
use doorward_http::problem::{FieldError, Problem};
use doorward_http::{AccessGuard, OwnedItem, Owner};
use doorward_persistence::{Migrations, OpenError, OwnedStore, column, protect_sql};
use serde::Serialize;
use sqlx::Postgres;
use sqlx::postgres::PgRow;
use uuid::Uuid;

const LONGEST_TEXT: usize = 2_000;

const MIGRATIONS: Migrations = Migrations {
    table: "notes_migrations",
    steps: &[(
        1,
        "notes",
        concat!(
            "CREATE TABLE notes (owner_id uuid NOT NULL REFERENCES users ON DELETE CASCADE, \
             id uuid NOT NULL, text text NOT NULL, PRIMARY KEY (owner_id, id));",
            protect_sql!("notes"),
        ),
    )],
};

/// A note as its owner sees it.
#[derive(Debug, Clone, Serialize)]
pub struct Note {
    /// Tells the note from its owner's others.
    pub id: Uuid,
    /// What was noted.
    pub text: String,
}

/// The notes of all users, of which each call reaches those of one.
#[derive(Clone)]
pub struct Notes {
    store: OwnedStore<Postgres>,
}

impl Notes {
    /// Makes the table where it is missing and sees that it is protected. The store is Doorward's: the table refers to
    /// its users.
    ///
    /// # Errors
    ///
    /// The database does not answer, or would let users reach each other's notes.
    pub async fn open(store: OwnedStore<Postgres>) -> Result<Self, OpenError> {
        store.migrate(&MIGRATIONS).await?;
        store.check_protection(&["notes"]).await?;
        Ok(Self { store })
    }

    /// Every note of the owner, the oldest first.
    ///
    /// # Errors
    ///
    /// The database does not answer as it should.
    pub async fn all(&self, scope: &OwnerScope) -> Result<Vec<Note>, StoreError> {
        let mut unit = self.store.read(scope).await?;
        let rows = unit
            .statement("SELECT id, text FROM notes WHERE owner_id = $1 ORDER BY id")
            .fetch_all(unit.connection())
            .await?;
        rows.iter().map(note).collect()
    }

    /// One note, if it is the owner's.
    ///
    /// # Errors
    ///
    /// The database does not answer as it should.
    pub async fn find(&self, scope: &OwnerScope, id: Uuid) -> Result<Option<Note>, StoreError> {
        let mut unit = self.store.read(scope).await?;
        let row = unit
            .statement("SELECT id, text FROM notes WHERE owner_id = $1 AND id = $2")
            .bind(id)
            .fetch_optional(unit.connection())
            .await?;
        row.map(|row| note(&row)).transpose()
    }

    /// Keeps a new note for the owner.
    ///
    /// # Errors
    ///
    /// The database does not answer as it should.
    #[expect(clippy::disallowed_methods, reason = "this service needs neither a clock nor randomness that tests move")]
    pub async fn add(&self, scope: &OwnerScope, text: &str) -> Result<Note, StoreError> {
        let note = Note { id: Uuid::now_v7(), text: text.to_owned() };
        let mut unit = self.store.write(scope).await?;
        unit.statement("INSERT INTO notes (owner_id, id, text) VALUES ($1, $2, $3)")
            .bind(note.id)
            .bind(note.text.clone())
            .execute(unit.connection())
            .await?;
        unit.commit().await?;
        Ok(note)
    }

    /// Gives a note another text. False says that the owner has no such note.
    ///
    /// # Errors
    ///
    /// The database does not answer as it should.
    pub async fn change(&self, scope: &OwnerScope, id: Uuid, text: &str) -> Result<bool, StoreError> {
        let mut unit = self.store.write(scope).await?;
        let changed = unit
            .statement("UPDATE notes SET text = $3 WHERE owner_id = $1 AND id = $2")
            .bind(id)
            .bind(text.to_owned())
            .happened(unit.connection())
            .await?;
        unit.commit().await?;
        Ok(changed)
    }

    /// Deletes a note. False says that the owner has no such note.
    ///
    /// # Errors
    ///
    /// The database does not answer as it should.
    pub async fn delete(&self, scope: &OwnerScope, id: Uuid) -> Result<bool, StoreError> {
        let mut unit = self.store.write(scope).await?;
        let deleted = unit
            .statement("DELETE FROM notes WHERE owner_id = $1 AND id = $2")
            .bind(id)
            .happened(unit.connection())
            .await?;
        unit.commit().await?;
        Ok(deleted)
    }
}

fn note(row: &PgRow) -> Result<Note, StoreError> {
    Ok(Note { id: column::<Postgres, _>(row, "id")?, text: column::<Postgres, _>(row, "text")? })
}

/// What the routes need.
#[derive(Clone, FromRef)]
pub struct App {
    /// Tells whose a request is: `doorward.guard()`.
    pub guard: AccessGuard,
    /// Where the notes are.
    pub notes: Notes,
}

/// The routes to the notes, below `/users/{user_id}/notes`.
pub fn routes(app: App) -> Router {
    Router::new()
        .route("/users/{user_id}/notes", get(list).post(add))
        .route("/users/{user_id}/notes/{id}", get(read).put(change).delete(remove))
        .with_state(app)
}

struct NoteText(String);

impl FromFields for NoteText {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let text = fields.text("text")?;
        let checked = match text.chars().count() {
            0 => Err(FieldError::new("text", "too_short", "must have at least 1 character")),
            1..=LONGEST_TEXT if text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\r')) => {
                Err(FieldError::new("text", "invalid_character", "must not contain control characters"))
            }
            1..=LONGEST_TEXT => Ok(Self(text)),
            _ => Err(FieldError::new("text", "too_long", "must have at most 2000 characters")),
        };
        fields.noting(checked)
    }
}

#[derive(Serialize)]
struct NoteList {
    notes: Vec<Note>,
}

async fn list(owner: Owner, State(notes): State<Notes>) -> Result<Json<NoteList>, Problem> {
    Ok(Json(NoteList { notes: notes.all(owner.scope()).await? }))
}

async fn add(
    owner: Owner,
    State(notes): State<Notes>,
    Body(NoteText(text)): Body<NoteText>,
) -> Result<(StatusCode, Json<Note>), Problem> {
    Ok((StatusCode::CREATED, Json(notes.add(owner.scope(), &text).await?)))
}

async fn read(item: OwnedItem, State(notes): State<Notes>) -> Result<Json<Note>, Problem> {
    match notes.find(item.scope(), item.id()).await? {
        Some(note) => Ok(Json(note)),
        None => Err(item.not_found().await),
    }
}

async fn change(
    item: OwnedItem,
    State(notes): State<Notes>,
    Body(NoteText(text)): Body<NoteText>,
) -> Result<Json<Note>, Problem> {
    if notes.change(item.scope(), item.id(), &text).await? {
        Ok(Json(Note { id: item.id(), text }))
    } else {
        Err(item.not_found().await)
    }
}

async fn remove(item: OwnedItem, State(notes): State<Notes>) -> Result<StatusCode, Problem> {
    if notes.delete(item.scope(), item.id()).await? { Ok(StatusCode::NO_CONTENT) } else { Err(item.not_found().await) }
}
