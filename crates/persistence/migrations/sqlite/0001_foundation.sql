-- Moments are whole microseconds since 1970-01-01T00:00:00Z, the same in both dialects. To read one:
-- datetime(created_at / 1000000, 'unixepoch').

CREATE TABLE users (
    id                BLOB   NOT NULL PRIMARY KEY,
    email             TEXT   NOT NULL,
    -- The address in lower case: what makes two spellings one account.
    email_key         TEXT   NOT NULL CONSTRAINT users_email_key UNIQUE,
    email_verified_at INTEGER,
    name              TEXT,
    roles             TEXT   NOT NULL,
    disabled_at       INTEGER,
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL
) STRICT;

CREATE TABLE credentials (
    user_id       BLOB NOT NULL PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    version       BLOB NOT NULL,
    password_hash TEXT NOT NULL
) STRICT;

CREATE TABLE sessions (
    id                 BLOB   NOT NULL PRIMARY KEY,
    user_id            BLOB   NOT NULL REFERENCES users ON DELETE CASCADE,
    credential_version BLOB   NOT NULL,
    authenticated_at   INTEGER NOT NULL,
    amr                TEXT   NOT NULL,
    last_seen_at       INTEGER NOT NULL,
    idle_expires_at    INTEGER NOT NULL,
    expires_at         INTEGER NOT NULL,
    ended_at           INTEGER,
    end_reason         TEXT,
    ip                 TEXT,
    user_agent         TEXT,
    CONSTRAINT sessions_end_has_reason CHECK ((ended_at IS NULL) = (end_reason IS NULL))
) STRICT;
CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_end ON sessions (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX sessions_by_idle_expiry ON sessions (idle_expires_at);

-- The newest tokens of each session's chain; the key makes a fork impossible.
CREATE TABLE refresh_tokens (
    session_id BLOB   NOT NULL REFERENCES sessions ON DELETE CASCADE,
    generation INTEGER NOT NULL,
    hash       BLOB  NOT NULL,
    used_at    INTEGER,
    PRIMARY KEY (session_id, generation)
) STRICT, WITHOUT ROWID;

-- Refers to nothing: an entry outlives the user and the session that it tells of.
CREATE TABLE events (
    id         BLOB   NOT NULL PRIMARY KEY,
    at         INTEGER NOT NULL,
    kind       TEXT   NOT NULL,
    reason     TEXT,
    user_id    BLOB,
    session_id BLOB,
    ip         TEXT,
    user_agent TEXT,
    request_id TEXT
) STRICT;

CREATE TABLE signing_keys (
    id         TEXT   NOT NULL PRIMARY KEY,
    algorithm  TEXT   NOT NULL,
    sealed     BLOB  NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
-- Lets one of many nodes that start at once make the first key.
CREATE UNIQUE INDEX signing_keys_first ON signing_keys (algorithm);
