-- Who is still to be told of what. Refers to nothing: what was queued is delivered whatever becomes of the event.
CREATE TABLE webhooks (
    id           uuid PRIMARY KEY,
    endpoint     text NOT NULL,
    event_id     uuid NOT NULL,
    payload      text NOT NULL,
    created_at   bigint NOT NULL,
    -- Empty for a dead letter.
    due_at       bigint,
    locked_until bigint,
    attempts     bigint NOT NULL DEFAULT 0,
    last_error   text
);
CREATE INDEX webhooks_by_due ON webhooks (endpoint, due_at) WHERE due_at IS NOT NULL;
