-- +goose Up
-- Most of what adding an entry costs was its indexes: each is a page that is
-- written all over the file. What entries are found by is added many at once now,
-- behind them; those after audit_head.found, few, are looked through.
-- who is 'u' and a user's id, 'e' and an email, or 'a' and an action.
CREATE TABLE audit_finds (
    who    TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (who, number)
) STRICT, WITHOUT ROWID;
ALTER TABLE audit_head ADD COLUMN found INTEGER NOT NULL DEFAULT 0;
INSERT INTO audit_finds (who, number)
    SELECT 'u' || user_id, number FROM audit_entries WHERE user_id <> ''
    UNION SELECT 'u' || actor_id, number FROM audit_entries WHERE actor_id <> ''
    UNION SELECT 'e' || user_email, number FROM audit_entries WHERE user_email <> ''
    UNION SELECT 'e' || actor_email, number FROM audit_entries WHERE actor_email <> ''
    UNION SELECT 'a' || action, number FROM audit_entries
    ORDER BY 1, 2;
UPDATE audit_head SET found = number;
DROP INDEX audit_user;
DROP INDEX audit_user_email;
DROP INDEX audit_action;
DROP INDEX audit_other_actor;
DROP INDEX audit_other_actor_email;

-- +goose Down
CREATE INDEX audit_user ON audit_entries (user_id, number);
CREATE INDEX audit_user_email ON audit_entries (user_email, number);
CREATE INDEX audit_action ON audit_entries (action, number);
CREATE INDEX audit_other_actor ON audit_entries (actor_id, number) WHERE actor_id <> user_id;
CREATE INDEX audit_other_actor_email ON audit_entries (actor_email, number) WHERE actor_email <> user_email;
ALTER TABLE audit_head DROP COLUMN found;
DROP TABLE audit_finds;
