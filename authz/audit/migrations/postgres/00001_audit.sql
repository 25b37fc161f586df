-- +goose Up
-- The trail: entries are only ever added. event is what is hashed; the columns
-- beside it repeat parts of it for searching, and verifying compares them.
-- at is microseconds since 1970, UTC.
CREATE TABLE audit_entries (
    number      BIGINT NOT NULL PRIMARY KEY,
    at          BIGINT NOT NULL,
    action      TEXT COLLATE "C" NOT NULL,
    user_id     TEXT COLLATE "C" NOT NULL,
    user_email  TEXT COLLATE "C" NOT NULL,
    actor_id    TEXT COLLATE "C" NOT NULL,
    actor_email TEXT COLLATE "C" NOT NULL,
    event       BYTEA NOT NULL,
    hash        BYTEA NOT NULL
);
CREATE INDEX audit_user ON audit_entries (user_id, number);
CREATE INDEX audit_user_email ON audit_entries (user_email, number);
CREATE INDEX audit_actor ON audit_entries (actor_id, number);
CREATE INDEX audit_actor_email ON audit_entries (actor_email, number);
CREATE INDEX audit_action ON audit_entries (action, number);
CREATE INDEX audit_at ON audit_entries (at);

-- Where the trail ends. Whoever adds entries holds this row until they are
-- there, so that gates which share the trail take turns.
CREATE TABLE audit_head (
    one    BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    number BIGINT NOT NULL,
    hash   BYTEA NOT NULL
);
INSERT INTO audit_head (one, number, hash) VALUES (1, 0, decode(repeat('00', 32), 'hex'));

-- Against mistakes; against whoever owns the database there are the hashes.
-- +goose StatementBegin
CREATE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail is append-only';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only();

-- +goose Down
DROP TABLE audit_entries;
DROP TABLE audit_head;
DROP FUNCTION audit_append_only();
