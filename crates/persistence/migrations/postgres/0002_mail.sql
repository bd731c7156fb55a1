ALTER TABLE users ADD COLUMN locale text;

-- Wrong passwords since the last right one.
ALTER TABLE credentials ADD COLUMN failed_logins bigint NOT NULL DEFAULT 0;

-- The devices that a user has logged in from, as digests.
CREATE TABLE devices (
    user_id      uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    digest       bytea NOT NULL,
    last_seen_at bigint NOT NULL,
    PRIMARY KEY (user_id, digest)
);

-- Sessions of deleted users, for as long as an access token can name them.
CREATE TABLE deleted_sessions (
    id       uuid PRIMARY KEY,
    ended_at bigint NOT NULL
);
CREATE INDEX deleted_sessions_by_end ON deleted_sessions (ended_at);

-- The key leaves a user one token of each purpose: a newer one takes the place of the older.
CREATE TABLE one_time_tokens (
    user_id    uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    purpose    text NOT NULL,
    mail_id    uuid NOT NULL,
    hash       bytea NOT NULL CONSTRAINT one_time_tokens_hash UNIQUE,
    address    text NOT NULL,
    expires_at bigint NOT NULL,
    -- Used or revoked.
    used_at    bigint,
    PRIMARY KEY (user_id, purpose)
);
CREATE INDEX one_time_tokens_by_expiry ON one_time_tokens (expires_at);

-- Refers to no user: what was asked for by an address is written whether or not the address has an account.
CREATE TABLE outbox (
    id            uuid PRIMARY KEY,
    kind          text NOT NULL,
    address       text NOT NULL,
    address_key   text NOT NULL,
    domain        text NOT NULL,
    user_id       uuid,
    other_address text,
    locale        text,
    ip            text,
    user_agent    text,
    created_at    bigint NOT NULL,
    -- Empty for a dead letter.
    due_at        bigint,
    locked_until  bigint,
    attempts      bigint NOT NULL DEFAULT 0,
    last_error    text
);
CREATE INDEX outbox_by_due ON outbox (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX outbox_by_lock ON outbox (domain, locked_until) WHERE locked_until IS NOT NULL;
CREATE INDEX outbox_by_address ON outbox (address_key);
CREATE INDEX outbox_by_user ON outbox (user_id) WHERE user_id IS NOT NULL;

-- When an address was last mailed five times, the oldest first: the first tells whether it may be again.
CREATE TABLE mail_allowances (
    address_key text NOT NULL,
    allowance   text NOT NULL,
    sent_1      bigint NOT NULL,
    sent_2      bigint NOT NULL,
    sent_3      bigint NOT NULL,
    sent_4      bigint NOT NULL,
    sent_5      bigint NOT NULL,
    PRIMARY KEY (address_key, allowance)
);
CREATE INDEX mail_allowances_by_last ON mail_allowances (sent_5);
