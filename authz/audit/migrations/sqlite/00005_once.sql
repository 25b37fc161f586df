-- +goose Up
-- What comes to pass once, by its name, and the entry that tells of it: whoever
-- was killed before it knew that the entry is there appends it again.
CREATE TABLE audit_once (
    name   TEXT NOT NULL PRIMARY KEY,
    number INTEGER NOT NULL
) STRICT;
CREATE INDEX audit_once_number ON audit_once (number);

-- +goose Down
DROP TABLE audit_once;
