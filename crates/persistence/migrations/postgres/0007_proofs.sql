-- The proofs of work that have been used, until after they have expired: the key lets each be used once.
CREATE TABLE spent_proofs (
    id         bytea PRIMARY KEY,
    expires_at bigint NOT NULL
);
CREATE INDEX spent_proofs_by_expiry ON spent_proofs (expires_at);
