-- +goose Up
-- Most of what adding an entry costs is its indexes. Who did something is
-- mostly whom it concerns, and is then found by that; and as entries are added in
-- the order of their times, but for the clocks' differences, those of a time are
-- found by bisection.
DROP INDEX audit_actor;
DROP INDEX audit_actor_email;
DROP INDEX audit_at;
CREATE INDEX audit_other_actor ON audit_entries (actor_id, number) WHERE actor_id <> user_id;
CREATE INDEX audit_other_actor_email ON audit_entries (actor_email, number) WHERE actor_email <> user_email;

-- +goose Down
DROP INDEX audit_other_actor;
DROP INDEX audit_other_actor_email;
CREATE INDEX audit_actor ON audit_entries (actor_id, number);
CREATE INDEX audit_actor_email ON audit_entries (actor_email, number);
CREATE INDEX audit_at ON audit_entries (at);
