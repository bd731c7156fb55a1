-- What the security log says of a user, the newest first, but for refreshes that succeeded.
CREATE INDEX events_by_user ON events (user_id, id) WHERE kind <> 'refresh' OR reason IS NOT NULL;
