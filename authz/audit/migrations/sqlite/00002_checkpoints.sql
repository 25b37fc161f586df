-- +goose Up
-- Signed statements of where the trail was. day is the UTC day that one seals,
-- as 2026-03-05, else ''; exported is 1 once it has left this database.
CREATE TABLE audit_checkpoints (
    number   INTEGER NOT NULL PRIMARY KEY,
    at       INTEGER NOT NULL,
    day      TEXT NOT NULL,
    note     BLOB NOT NULL,
    exported INTEGER NOT NULL
) STRICT;
CREATE INDEX audit_checkpoints_day ON audit_checkpoints (day, number);
CREATE INDEX audit_checkpoints_exported ON audit_checkpoints (exported, number);

-- The last entry that retention took out, 0 if none.
CREATE TABLE audit_start (
    one    INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    number INTEGER NOT NULL,
    hash   BLOB NOT NULL
) STRICT;
INSERT INTO audit_start (one, number, hash) VALUES (1, 0, zeroblob(32));

DROP TRIGGER audit_no_delete;
-- +goose StatementBegin
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit_entries WHEN OLD.number > (SELECT number FROM audit_start)
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
-- +goose StatementEnd

-- +goose Down
DROP TRIGGER audit_no_delete;
-- +goose StatementBegin
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit_entries
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
-- +goose StatementEnd
DROP TABLE audit_start;
DROP TABLE audit_checkpoints;
