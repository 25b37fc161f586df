-- +goose Up
-- Before its mark, what was issued to somebody has ended. Instants are
-- microseconds since 1970, UTC.
CREATE TABLE session_marks (
    key        BLOB    NOT NULL PRIMARY KEY,
    at         INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX session_marks_end ON session_marks (expires_at);

-- +goose Down
DROP TABLE session_marks;
