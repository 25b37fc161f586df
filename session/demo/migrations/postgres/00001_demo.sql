-- +goose Up
-- Instants are microseconds since 1970, UTC, by the store's clock; 0 is none.
-- due_at is when somebody has to look at a grant, NULL once nothing is left to
-- do; fence grows with each claim and each move. steps is JSON.
CREATE TABLE demo_grants (
    id              TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    status          TEXT   COLLATE "C" NOT NULL,
    user_id         TEXT   COLLATE "C" NOT NULL,
    email           TEXT    NOT NULL,
    issuer          TEXT    NOT NULL,
    subject         TEXT    NOT NULL,
    organization    TEXT    NOT NULL,
    organization_id TEXT   COLLATE "C" NOT NULL,
    client_addr     TEXT   COLLATE "C" NOT NULL,
    workspace_type  TEXT   COLLATE "C" NOT NULL,
    role            TEXT    NOT NULL,
    purpose         TEXT    NOT NULL,
    reason          TEXT    NOT NULL,
    decided_by      TEXT    NOT NULL,
    lasts           BIGINT NOT NULL,
    requested_at    BIGINT NOT NULL,
    started_at      BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL,
    ended_at        BIGINT NOT NULL,
    cleaned_at      BIGINT NOT NULL,
    settle_at       BIGINT NOT NULL,
    told            BIGINT NOT NULL,
    steps           TEXT    NOT NULL,
    due_at          BIGINT,
    fence           BIGINT NOT NULL,
    tries           BIGINT NOT NULL
);

CREATE INDEX demo_grants_due ON demo_grants (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX demo_grants_work ON demo_grants (status, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX demo_grants_requested ON demo_grants (requested_at, id);
CREATE INDEX demo_grants_user ON demo_grants (user_id, requested_at);
CREATE INDEX demo_grants_organization ON demo_grants (organization_id, status) WHERE status IN ('pending', 'starting', 'active');
CREATE INDEX demo_grants_address ON demo_grants (client_addr) WHERE status IN ('pending', 'starting', 'active');
CREATE INDEX demo_grants_cleaned ON demo_grants (cleaned_at) WHERE cleaned_at > 0;
CREATE UNIQUE INDEX demo_grants_one ON demo_grants (user_id, workspace_type) WHERE status IN ('pending', 'starting', 'active');

-- What one gate does for all of them, until when.
CREATE TABLE demo_turns (
    name  TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    until BIGINT NOT NULL
);

-- +goose Down
DROP TABLE demo_turns;
DROP TABLE demo_grants;
