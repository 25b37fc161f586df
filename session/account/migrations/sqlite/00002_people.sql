-- +goose Up
-- Who has signed in at a provider. id is made of issuer and subject, and so is
-- the same on every gate; email is no key. Instants are microseconds since
-- 1970, UTC. roles is a JSON array.
CREATE TABLE people (
    id             TEXT NOT NULL PRIMARY KEY,
    issuer         TEXT    NOT NULL,
    subject        TEXT    NOT NULL,
    provider       TEXT    NOT NULL,
    email          TEXT NOT NULL,
    email_verified INTEGER NOT NULL,
    name           TEXT    NOT NULL,
    organization   TEXT    NOT NULL,
    roles          TEXT    NOT NULL,
    first_seen     INTEGER NOT NULL,
    last_seen      INTEGER NOT NULL,
    UNIQUE (issuer, subject)
) STRICT;

-- +goose Down
DROP TABLE people;
