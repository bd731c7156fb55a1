-- Moments are whole microseconds since 1970-01-01T00:00:00Z.

CREATE TABLE tasks (
    owner_id    BLOB    NOT NULL REFERENCES users ON DELETE CASCADE,
    id          BLOB    NOT NULL,
    title       TEXT    NOT NULL,
    description TEXT,
    completed   INTEGER NOT NULL,
    version     INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    -- By owner first, so that what others have costs nothing, and a page is a stretch of the index.
    PRIMARY KEY (owner_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX tasks_by_completion ON tasks (owner_id, completed, id);

-- How many tasks an owner has: what makes a quota hold however many ask at once.
CREATE TABLE task_counts (
    owner_id BLOB    NOT NULL PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    tasks    INTEGER NOT NULL CONSTRAINT task_counts_not_negative CHECK (tasks >= 0)
) STRICT;
