-- +goose Up
-- Who has signed in at a provider. id is made of issuer and subject, and so is
-- the same on every gate; email is no key. Instants are microseconds since
-- 1970, UTC. roles is a JSON array.
CREATE TABLE people (
    id             TEXT    COLLATE "C" NOT NULL PRIMARY KEY,
    issuer         TEXT    COLLATE "C" NOT NULL,
    subject        TEXT    COLLATE "C" NOT NULL,
    provider       TEXT    NOT NULL,
    email          TEXT    COLLATE "C" NOT NULL,
    email_verified BOOLEAN NOT NULL,
    name           TEXT    NOT NULL,
    organization   TEXT    NOT NULL,
    roles          TEXT    NOT NULL,
    first_seen     BIGINT NOT NULL,
    last_seen      BIGINT NOT NULL,
    UNIQUE (issuer, subject)
);

-- +goose Down
DROP TABLE people;
