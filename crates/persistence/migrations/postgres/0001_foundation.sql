-- Moments are whole microseconds since 1970-01-01T00:00:00Z, the same in both dialects. To read one:
-- to_timestamp(created_at / 1e6).

CREATE TABLE users (
    id                uuid   PRIMARY KEY,
    email             text   NOT NULL,
    -- The address in lower case: what makes two spellings one account.
    email_key         text   NOT NULL CONSTRAINT users_email_key UNIQUE,
    email_verified_at bigint,
    name              text,
    roles             text   NOT NULL,
    disabled_at       bigint,
    created_at        bigint NOT NULL,
    updated_at        bigint NOT NULL
);

CREATE TABLE credentials (
    user_id       uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    version       uuid NOT NULL,
    password_hash text NOT NULL
);

CREATE TABLE sessions (
    id                 uuid   PRIMARY KEY,
    user_id            uuid   NOT NULL REFERENCES users ON DELETE CASCADE,
    credential_version uuid   NOT NULL,
    authenticated_at   bigint NOT NULL,
    amr                text   NOT NULL,
    last_seen_at       bigint NOT NULL,
    idle_expires_at    bigint NOT NULL,
    expires_at         bigint NOT NULL,
    ended_at           bigint,
    end_reason         text,
    ip                 text,
    user_agent         text,
    CONSTRAINT sessions_end_has_reason CHECK ((ended_at IS NULL) = (end_reason IS NULL))
);
CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_end ON sessions (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX sessions_by_idle_expiry ON sessions (idle_expires_at);

-- The newest tokens of each session's chain; the key makes a fork impossible.
CREATE TABLE refresh_tokens (
    session_id uuid   NOT NULL REFERENCES sessions ON DELETE CASCADE,
    generation bigint NOT NULL,
    hash       bytea  NOT NULL,
    used_at    bigint,
    PRIMARY KEY (session_id, generation)
);

-- Refers to nothing: an entry outlives the user and the session that it tells of.
CREATE TABLE events (
    id         uuid   PRIMARY KEY,
    at         bigint NOT NULL,
    kind       text   NOT NULL,
    reason     text,
    user_id    uuid,
    session_id uuid,
    ip         text,
    user_agent text,
    request_id text
);

CREATE TABLE signing_keys (
    id         text   PRIMARY KEY,
    algorithm  text   NOT NULL,
    sealed     bytea  NOT NULL,
    created_at bigint NOT NULL
);
-- Lets one of many nodes that start at once make the first key.
CREATE UNIQUE INDEX signing_keys_first ON signing_keys (algorithm);
