-- Who is still to be told of what. Refers to nothing: what was queued is delivered whatever becomes of the event.
CREATE TABLE webhooks (
    id           BLOB NOT NULL PRIMARY KEY,
    endpoint     TEXT NOT NULL,
    event_id     BLOB NOT NULL,
    payload      TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    -- Empty for a dead letter.
    due_at       INTEGER,
    locked_until INTEGER,
    attempts     INTEGER NOT NULL DEFAULT 0,
    last_error   TEXT
) STRICT;
CREATE INDEX webhooks_by_due ON webhooks (endpoint, due_at) WHERE due_at IS NOT NULL;
