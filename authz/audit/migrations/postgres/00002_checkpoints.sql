-- +goose Up
-- Signed statements of where the trail was. day is the UTC day that one seals,
-- as 2026-03-05, else ''; exported is 1 once it has left this database.
CREATE TABLE audit_checkpoints (
    number   BIGINT NOT NULL PRIMARY KEY,
    at       BIGINT NOT NULL,
    day      TEXT COLLATE "C" NOT NULL,
    note     BYTEA NOT NULL,
    exported BIGINT NOT NULL
);
CREATE INDEX audit_checkpoints_day ON audit_checkpoints (day, number);
CREATE INDEX audit_checkpoints_exported ON audit_checkpoints (exported, number);

-- The last entry that retention took out, 0 if none.
CREATE TABLE audit_start (
    one    BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    number BIGINT NOT NULL,
    hash   BYTEA NOT NULL
);
INSERT INTO audit_start (one, number, hash) VALUES (1, 0, decode(repeat('00', 32), 'hex'));

DROP TRIGGER audit_append_only ON audit_entries;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR TRUNCATE ON audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only();
-- +goose StatementBegin
CREATE FUNCTION audit_no_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.number > (SELECT number FROM audit_start) THEN
        RAISE EXCEPTION 'the audit trail is append-only';
    END IF;
    RETURN OLD;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit_entries
    FOR EACH ROW EXECUTE FUNCTION audit_no_delete();

-- +goose Down
DROP TRIGGER audit_no_delete ON audit_entries;
DROP FUNCTION audit_no_delete();
DROP TRIGGER audit_append_only ON audit_entries;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only();
DROP TABLE audit_start;
DROP TABLE audit_checkpoints;
