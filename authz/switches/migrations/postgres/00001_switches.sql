-- +goose Up
-- What the policy's switches are set to. value is true, false or a number as
-- text, and null once it was set back: version goes on counting. changed_at is
-- in microseconds since 1970, UTC.
CREATE TABLE policy_switches (
    name       TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    value      TEXT,
    version    BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    changed_by TEXT    NOT NULL
);

-- +goose Down
DROP TABLE policy_switches;
