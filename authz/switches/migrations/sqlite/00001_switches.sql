-- +goose Up
-- What the policy's switches are set to. value is true, false or a number as
-- text, and null once it was set back: version goes on counting. changed_at is
-- in microseconds since 1970, UTC.
CREATE TABLE policy_switches (
    name       TEXT    NOT NULL PRIMARY KEY,
    value      TEXT,
    version    INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    changed_by TEXT    NOT NULL
) STRICT;

-- +goose Down
DROP TABLE policy_switches;
