-- +goose Up
-- Instants are microseconds since 1970, UTC. roles is a JSON array. A demo
-- grant is there if demo_workspace is not null.
CREATE TABLE users (
    id             TEXT    NOT NULL PRIMARY KEY,
    email          TEXT    NOT NULL UNIQUE,
    name           TEXT    NOT NULL,
    organization   TEXT    NOT NULL,
    roles          TEXT    NOT NULL,
    password_hash  TEXT    NOT NULL,
    disabled       INTEGER NOT NULL,
    email_verified INTEGER NOT NULL,
    demo_workspace TEXT,
    demo_seconds   INTEGER NOT NULL,
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL
) STRICT;

-- +goose Down
DROP TABLE users;
