-- What no longer holds though access tokens say it. Refers to nothing: an entry outlives what it tells of.
CREATE TABLE revocations (
    -- One writer at a time: the order of the numbers is the order of the commits.
    position   INTEGER PRIMARY KEY AUTOINCREMENT,
    kind       TEXT    NOT NULL,
    session_id BLOB,
    user_id    BLOB,
    at         INTEGER NOT NULL
) STRICT;
CREATE INDEX revocations_by_time ON revocations (at);

INSERT INTO revocations (kind, session_id, at)
SELECT 'session_ended', id, ended_at FROM sessions WHERE ended_at IS NOT NULL
UNION ALL SELECT 'session_ended', id, ended_at FROM deleted_sessions;
DROP TABLE deleted_sessions;

-- Whose sessions go on, the newest first.
DROP INDEX sessions_by_user;
CREATE INDEX sessions_by_user ON sessions (user_id, authenticated_at);

ALTER TABLE signing_keys ADD COLUMN signs_from INTEGER NOT NULL DEFAULT 0;
-- The key that it takes over from; empty for the first.
ALTER TABLE signing_keys ADD COLUMN follows TEXT NOT NULL DEFAULT '';
DROP INDEX signing_keys_first;
-- Lets one of many nodes that rotate at once make the next key.
CREATE UNIQUE INDEX signing_keys_next ON signing_keys (algorithm, follows);

-- Secrets of the installation other than signing keys.
CREATE TABLE sealed_secrets (
    name   TEXT NOT NULL PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT;
