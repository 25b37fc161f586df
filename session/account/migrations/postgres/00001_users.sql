-- +goose Up
-- Instants are microseconds since 1970, UTC. roles is a JSON array. A demo
-- grant is there if demo_workspace is not null.
CREATE TABLE users (
    id             TEXT    COLLATE "C" NOT NULL PRIMARY KEY,
    email          TEXT    COLLATE "C" NOT NULL UNIQUE,
    name           TEXT    NOT NULL,
    organization   TEXT    NOT NULL,
    roles          TEXT    NOT NULL,
    password_hash  TEXT    NOT NULL,
    disabled       BOOLEAN NOT NULL,
    email_verified BOOLEAN NOT NULL,
    demo_workspace TEXT,
    demo_seconds   BIGINT  NOT NULL,
    created_at     BIGINT  NOT NULL,
    updated_at     BIGINT  NOT NULL
);

-- +goose Down
DROP TABLE users;
