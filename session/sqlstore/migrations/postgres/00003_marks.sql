-- +goose Up
-- Before its mark, what was issued to somebody has ended. Instants are
-- microseconds since 1970, UTC.
CREATE TABLE session_marks (
    key        BYTEA  NOT NULL PRIMARY KEY,
    at         BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX session_marks_end ON session_marks (expires_at);

-- Told on the channel of sessions, to which every gate listens.
-- +goose StatementBegin
CREATE FUNCTION session_marked() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('gate_session_' || format('%I.sessions', TG_TABLE_SCHEMA)::regclass::oid, encode(NEW.key, 'hex'));
    RETURN NULL;
END
$$;
-- +goose StatementEnd

CREATE TRIGGER session_marked AFTER INSERT OR UPDATE ON session_marks
    FOR EACH ROW EXECUTE FUNCTION session_marked();

-- +goose Down
DROP TABLE session_marks;
DROP FUNCTION session_marked();
