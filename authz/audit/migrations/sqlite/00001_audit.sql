-- +goose Up
-- The trail: entries are only ever added. event is what is hashed; the columns
-- beside it repeat parts of it for searching, and verifying compares them.
-- at is microseconds since 1970, UTC.
CREATE TABLE audit_entries (
    number      INTEGER NOT NULL PRIMARY KEY,
    at          INTEGER NOT NULL,
    action      TEXT NOT NULL,
    user_id     TEXT NOT NULL,
    user_email  TEXT NOT NULL,
    actor_id    TEXT NOT NULL,
    actor_email TEXT NOT NULL,
    event       BLOB NOT NULL,
    hash        BLOB NOT NULL
) STRICT;
CREATE INDEX audit_user ON audit_entries (user_id, number);
CREATE INDEX audit_user_email ON audit_entries (user_email, number);
CREATE INDEX audit_actor ON audit_entries (actor_id, number);
CREATE INDEX audit_actor_email ON audit_entries (actor_email, number);
CREATE INDEX audit_action ON audit_entries (action, number);
CREATE INDEX audit_at ON audit_entries (at);

-- Where the trail ends. Whoever adds entries holds this row until they are
-- there, so that gates which share the trail take turns.
CREATE TABLE audit_head (
    one    INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    number INTEGER NOT NULL,
    hash   BLOB NOT NULL
) STRICT;
INSERT INTO audit_head (one, number, hash) VALUES (1, 0, zeroblob(32));

-- Against mistakes; against whoever owns the database there are the hashes.
-- +goose StatementBegin
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit_entries
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit_entries
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
-- +goose StatementEnd

-- +goose Down
DROP TABLE audit_entries;
DROP TABLE audit_head;
