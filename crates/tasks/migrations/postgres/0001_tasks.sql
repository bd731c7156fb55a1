-- Moments are whole microseconds since 1970-01-01T00:00:00Z. The migration goes on with what `protect_sql!` says of both
-- tables.

CREATE TABLE tasks (
    owner_id    uuid    NOT NULL REFERENCES users ON DELETE CASCADE,
    id          uuid    NOT NULL,
    title       text    NOT NULL,
    description text,
    completed   boolean NOT NULL,
    version     bigint  NOT NULL,
    created_at  bigint  NOT NULL,
    updated_at  bigint  NOT NULL,
    -- By owner first, so that what others have costs nothing, and a page is a stretch of the index.
    PRIMARY KEY (owner_id, id)
);
CREATE INDEX tasks_by_completion ON tasks (owner_id, completed, id);

-- How many tasks an owner has: what makes a quota hold however many ask at once.
CREATE TABLE task_counts (
    owner_id uuid   PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    tasks    bigint NOT NULL CONSTRAINT task_counts_not_negative CHECK (tasks >= 0)
);
