ALTER TABLE users ADD COLUMN locale TEXT;

-- Wrong passwords since the last right one.
ALTER TABLE credentials ADD COLUMN failed_logins INTEGER NOT NULL DEFAULT 0;

-- The devices that a user has logged in from, as digests.
CREATE TABLE devices (
    user_id      BLOB NOT NULL REFERENCES users ON DELETE CASCADE,
    digest       BLOB NOT NULL,
    last_seen_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, digest)
) STRICT;

-- Sessions of deleted users, for as long as an access token can name them.
CREATE TABLE deleted_sessions (
    id       BLOB NOT NULL PRIMARY KEY,
    ended_at INTEGER NOT NULL
) STRICT;
CREATE INDEX deleted_sessions_by_end ON deleted_sessions (ended_at);

-- The key leaves a user one token of each purpose: a newer one takes the place of the older.
CREATE TABLE one_time_tokens (
    user_id    BLOB NOT NULL REFERENCES users ON DELETE CASCADE,
    purpose    TEXT NOT NULL,
    mail_id    BLOB NOT NULL,
    hash       BLOB NOT NULL CONSTRAINT one_time_tokens_hash UNIQUE,
    address    TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    -- Used or revoked.
    used_at    INTEGER,
    PRIMARY KEY (user_id, purpose)
) STRICT;
CREATE INDEX one_time_tokens_by_expiry ON one_time_tokens (expires_at);

-- Refers to no user: what was asked for by an address is written whether or not the address has an account.
CREATE TABLE outbox (
    id            BLOB NOT NULL PRIMARY KEY,
    kind          TEXT NOT NULL,
    address       TEXT NOT NULL,
    address_key   TEXT NOT NULL,
    domain        TEXT NOT NULL,
    user_id       BLOB,
    other_address TEXT,
    locale        TEXT,
    ip            TEXT,
    user_agent    TEXT,
    created_at    INTEGER NOT NULL,
    -- Empty for a dead letter.
    due_at        INTEGER,
    locked_until  INTEGER,
    attempts      INTEGER NOT NULL DEFAULT 0,
    last_error    TEXT
) STRICT;
CREATE INDEX outbox_by_due ON outbox (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX outbox_by_lock ON outbox (domain, locked_until) WHERE locked_until IS NOT NULL;
CREATE INDEX outbox_by_address ON outbox (address_key);
CREATE INDEX outbox_by_user ON outbox (user_id) WHERE user_id IS NOT NULL;

-- When an address was last mailed five times, the oldest first: the first tells whether it may be again.
CREATE TABLE mail_allowances (
    address_key TEXT NOT NULL,
    allowance   TEXT NOT NULL,
    sent_1      INTEGER NOT NULL,
    sent_2      INTEGER NOT NULL,
    sent_3      INTEGER NOT NULL,
    sent_4      INTEGER NOT NULL,
    sent_5      INTEGER NOT NULL,
    PRIMARY KEY (address_key, allowance)
) STRICT;
CREATE INDEX mail_allowances_by_last ON mail_allowances (sent_5);
