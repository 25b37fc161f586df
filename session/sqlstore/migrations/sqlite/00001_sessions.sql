-- +goose Up
-- Instants are microseconds since 1970, UTC. idle_expires_at is never past
-- expires_at, so it alone says when a session is over.
CREATE TABLE sessions (
    key             BLOB    NOT NULL PRIMARY KEY,
    user_id         TEXT    NOT NULL,
    email           TEXT    NOT NULL,
    created_at      INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    idle_expires_at INTEGER NOT NULL,
    version         INTEGER NOT NULL,
    record          BLOB    NOT NULL
) STRICT;
CREATE INDEX sessions_user ON sessions (user_id, created_at);
CREATE INDEX sessions_email ON sessions (email, created_at);
CREATE INDEX sessions_created ON sessions (created_at);
CREATE INDEX sessions_end ON sessions (idle_expires_at);

-- +goose Down
DROP TABLE sessions;
