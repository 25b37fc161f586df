-- +goose Up
-- Small records that live beside sessions for a while. Instants are
-- microseconds since 1970, UTC.
CREATE TABLE notes (
    key        BYTEA  NOT NULL PRIMARY KEY,
    expires_at BIGINT NOT NULL,
    data       BYTEA  NOT NULL
);
CREATE INDEX notes_end ON notes (expires_at);

-- +goose Down
DROP TABLE notes;
