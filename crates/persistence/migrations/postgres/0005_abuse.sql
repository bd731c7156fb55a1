-- When as much as is allowed at once will have come back; by a digest of what is counted.
CREATE TABLE throttles (
    key     bytea  PRIMARY KEY,
    full_at bigint NOT NULL
);
CREATE INDEX throttles_by_time ON throttles (full_at);

-- Passwords in a row that were tried and not found right; by a digest of what they were tried for.
CREATE TABLE password_guesses (
    key      bytea   PRIMARY KEY,
    guesses  bigint  NOT NULL,
    next_at  bigint  NOT NULL,
    last_at  bigint  NOT NULL,
    -- Whether there is an account, whose guesses count over any time.
    kept     boolean NOT NULL
);
CREATE INDEX password_guesses_by_time ON password_guesses (last_at) WHERE NOT kept;

-- Devices that can show that a user has logged in from them, by the digest of what they show.
CREATE TABLE trusted_devices (
    user_id      uuid   NOT NULL REFERENCES users ON DELETE CASCADE,
    digest       bytea  NOT NULL,
    last_seen_at bigint NOT NULL,
    PRIMARY KEY (user_id, digest)
);

-- Refusals that came in great numbers are one entry.
ALTER TABLE events ADD COLUMN count bigint NOT NULL DEFAULT 1;

-- The entries that wait to be sealed. Filled by a trigger, so that none is forgotten.
CREATE TABLE event_queue (
    event_id uuid PRIMARY KEY
);
INSERT INTO event_queue SELECT id FROM events;

CREATE TABLE event_seals (
    position bigint PRIMARY KEY,
    event_id uuid   NOT NULL CONSTRAINT event_seals_event UNIQUE,
    link     bytea  NOT NULL
);

-- One row: the newest entry on the chain, and up to where old ones have been deleted.
CREATE TABLE event_chain (
    id            bigint PRIMARY KEY CONSTRAINT event_chain_one CHECK (id = 1),
    head_position bigint NOT NULL,
    head_link     bytea  NOT NULL,
    head_tag      bytea  NOT NULL,
    cut_position  bigint NOT NULL,
    cut_link      bytea  NOT NULL,
    cut_tag       bytea  NOT NULL
);
INSERT INTO event_chain SELECT 1, 0, zeros, zeros, 0, zeros, zeros FROM (SELECT decode(repeat('00', 32), 'hex')) AS z (zeros);

CREATE FUNCTION queue_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO event_queue (event_id) VALUES (NEW.id);
    RETURN NULL;
END
$$;
CREATE TRIGGER events_queue AFTER INSERT ON events FOR EACH ROW EXECUTE FUNCTION queue_event();

-- Nobody changes an entry, and nobody deletes one that has not been cut off, the service's own role included.
CREATE FUNCTION keep_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF EXISTS (
            SELECT 1 FROM event_seals s JOIN event_chain c ON s.position <= c.cut_position WHERE s.event_id = OLD.id
        ) THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION 'the security log can only be added to';
END
$$;
CREATE TRIGGER events_keep BEFORE UPDATE OR DELETE ON events FOR EACH ROW EXECUTE FUNCTION keep_event();
CREATE TRIGGER events_keep_all BEFORE TRUNCATE ON events FOR EACH STATEMENT EXECUTE FUNCTION keep_event();
