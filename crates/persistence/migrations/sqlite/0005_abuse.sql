-- When as much as is allowed at once will have come back; by a digest of what is counted.
CREATE TABLE throttles (
    key     BLOB    NOT NULL PRIMARY KEY,
    full_at INTEGER NOT NULL
) STRICT;
CREATE INDEX throttles_by_time ON throttles (full_at);

-- Passwords in a row that were tried and not found right; by a digest of what they were tried for.
CREATE TABLE password_guesses (
    key      BLOB    NOT NULL PRIMARY KEY,
    guesses  INTEGER NOT NULL,
    next_at  INTEGER NOT NULL,
    last_at  INTEGER NOT NULL,
    -- Whether there is an account, whose guesses count over any time.
    kept     INTEGER NOT NULL
) STRICT;
CREATE INDEX password_guesses_by_time ON password_guesses (last_at) WHERE NOT kept;

-- Devices that can show that a user has logged in from them, by the digest of what they show.
CREATE TABLE trusted_devices (
    user_id      BLOB    NOT NULL REFERENCES users ON DELETE CASCADE,
    digest       BLOB    NOT NULL,
    last_seen_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, digest)
) STRICT;

-- Refusals that came in great numbers are one entry.
ALTER TABLE events ADD COLUMN count INTEGER NOT NULL DEFAULT 1;

-- The entries that wait to be sealed. Filled by a trigger, so that none is forgotten.
CREATE TABLE event_queue (
    event_id BLOB NOT NULL PRIMARY KEY
) STRICT;
INSERT INTO event_queue SELECT id FROM events;

CREATE TABLE event_seals (
    position INTEGER PRIMARY KEY,
    event_id BLOB    NOT NULL UNIQUE,
    link     BLOB    NOT NULL
) STRICT;

-- One row: the newest entry on the chain, and up to where old ones have been deleted.
CREATE TABLE event_chain (
    id            INTEGER PRIMARY KEY CHECK (id = 1),
    head_position INTEGER NOT NULL,
    head_link     BLOB    NOT NULL,
    head_tag      BLOB    NOT NULL,
    cut_position  INTEGER NOT NULL,
    cut_link      BLOB    NOT NULL,
    cut_tag       BLOB    NOT NULL
) STRICT;
INSERT INTO event_chain VALUES (1, 0, zeroblob(32), zeroblob(32), 0, zeroblob(32), zeroblob(32));

CREATE TRIGGER events_queue AFTER INSERT ON events BEGIN
    INSERT INTO event_queue (event_id) VALUES (NEW.id);
END;

-- Nobody changes an entry, and nobody deletes one that has not been cut off.
CREATE TRIGGER events_keep BEFORE UPDATE ON events BEGIN
    SELECT RAISE(ABORT, 'the security log can only be added to');
END;
CREATE TRIGGER events_keep_uncut BEFORE DELETE ON events
WHEN NOT EXISTS (
    SELECT 1 FROM event_seals s JOIN event_chain c ON s.position <= c.cut_position WHERE s.event_id = OLD.id
)
BEGIN
    SELECT RAISE(ABORT, 'the security log can only be added to');
END;
