-- The proofs of work that have been used, until after they have expired: the key lets each be used once.
CREATE TABLE spent_proofs (
    id         BLOB    NOT NULL PRIMARY KEY,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX spent_proofs_by_expiry ON spent_proofs (expires_at);
