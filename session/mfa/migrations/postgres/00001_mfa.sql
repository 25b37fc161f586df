-- +goose Up
-- Instants are microseconds since 1970, UTC. 0 is never.

-- The key under which secrets are sealed, itself sealed under the gate's key
-- ring: one row to seal anew when the ring turns.
CREATE TABLE mfa_key (
    id     INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    sealed BYTEA   NOT NULL
);

-- last_step is the number of the last time step whose code was taken: no code
-- of it or of an earlier one is taken again.
CREATE TABLE mfa_app (
    user_id   TEXT    COLLATE "C" NOT NULL PRIMARY KEY,
    secret    BYTEA   NOT NULL,
    last_step BIGINT  NOT NULL,
    added_at  BIGINT  NOT NULL,
    used_at   BIGINT  NOT NULL
);

CREATE TABLE mfa_recovery (
    user_id TEXT    COLLATE "C" NOT NULL,
    hash    BYTEA   NOT NULL,
    used_at BIGINT  NOT NULL,
    PRIMARY KEY (user_id, hash)
);

-- id is the credential id in base64url, credential what is needed to check it,
-- in JSON. sign_count grows with each use where the authenticator counts.
CREATE TABLE mfa_passkeys (
    id         TEXT    COLLATE "C" NOT NULL PRIMARY KEY,
    user_id    TEXT    COLLATE "C" NOT NULL,
    name       TEXT    NOT NULL,
    credential TEXT    NOT NULL,
    sign_count BIGINT  NOT NULL,
    added_at   BIGINT  NOT NULL,
    used_at    BIGINT  NOT NULL
);
CREATE INDEX mfa_passkeys_user ON mfa_passkeys (user_id);

-- +goose Down
DROP TABLE mfa_passkeys;
DROP TABLE mfa_recovery;
DROP TABLE mfa_app;
DROP TABLE mfa_key;
