-- What no longer holds though access tokens say it. Refers to nothing: an entry outlives what it tells of.
CREATE TABLE revocations (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- The transaction that wrote it. A reader knows which ones have ended (pg_snapshot_xmin), so none that commits
    -- late is skipped, as it would be by a sequence.
    position   bigint NOT NULL DEFAULT (pg_current_xact_id()::text::bigint),
    kind       text   NOT NULL,
    session_id uuid,
    user_id    uuid,
    at         bigint NOT NULL
);
CREATE INDEX revocations_by_position ON revocations (position);
CREATE INDEX revocations_by_time ON revocations (at);

INSERT INTO revocations (kind, session_id, at)
SELECT 'session_ended', id, ended_at FROM sessions WHERE ended_at IS NOT NULL
UNION ALL SELECT 'session_ended', id, ended_at FROM deleted_sessions;
DROP TABLE deleted_sessions;

-- Wakes the nodes that listen; the others look by themselves.
CREATE FUNCTION tell_of_revocations() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('doorward_revocations', TG_TABLE_SCHEMA);
    RETURN NULL;
END
$$;
CREATE TRIGGER revocations_tell AFTER INSERT ON revocations
    FOR EACH STATEMENT EXECUTE FUNCTION tell_of_revocations();

-- Whose sessions go on, the newest first.
DROP INDEX sessions_by_user;
CREATE INDEX sessions_by_user ON sessions (user_id, authenticated_at);

ALTER TABLE signing_keys ADD COLUMN signs_from bigint NOT NULL DEFAULT 0;
-- The key that it takes over from; empty for the first.
ALTER TABLE signing_keys ADD COLUMN follows text NOT NULL DEFAULT '';
DROP INDEX signing_keys_first;
-- Lets one of many nodes that rotate at once make the next key.
CREATE UNIQUE INDEX signing_keys_next ON signing_keys (algorithm, follows);

-- Secrets of the installation other than signing keys.
CREATE TABLE sealed_secrets (
    name   text  PRIMARY KEY,
    sealed bytea NOT NULL
);
