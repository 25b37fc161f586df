-- +goose Up
-- Instants are microseconds since 1970, UTC. name_key is the name as it is
-- compared; settings is a JSON object.
CREATE TABLE organizations (
    id         TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL,
    name_key   TEXT   COLLATE "C" NOT NULL UNIQUE,
    domain     TEXT   NOT NULL,
    settings   TEXT   NOT NULL,
    created_at BIGINT NOT NULL
);

INSERT INTO organizations (id, name, name_key, domain, settings, created_at)
    VALUES ('org_default', 'Default Organization', 'default organization', '', '{}', extract(epoch FROM now())::BIGINT * 1000000);

INSERT INTO organizations (id, name, name_key, domain, settings, created_at)
    SELECT 'org_' || replace(gen_random_uuid()::TEXT, '-', ''), min(organization), lower(organization), '', '{}', extract(epoch FROM now())::BIGINT * 1000000
    FROM users WHERE organization <> '' AND lower(organization) <> 'default organization' GROUP BY lower(organization);

ALTER TABLE users ADD COLUMN organization_id TEXT COLLATE "C" NOT NULL DEFAULT 'org_default' REFERENCES organizations (id);

UPDATE users SET organization_id = (SELECT o.id FROM organizations o WHERE o.name_key = lower(users.organization)) WHERE organization <> '';

-- users.organization stays, and has the organization's name: gates of before
-- read it, and set nothing else.
UPDATE users SET organization = (SELECT o.name FROM organizations o WHERE o.id = users.organization_id);

ALTER TABLE users ADD COLUMN mfa_enabled BOOLEAN NOT NULL DEFAULT true;

CREATE INDEX users_organization ON users (organization_id);

-- Links that work once. hash is SHA-256 of the token, in hex; subject is whom or
-- what it is about, and data what its purpose needs, as JSON.
CREATE TABLE links (
    hash       TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    id         TEXT   COLLATE "C" NOT NULL UNIQUE,
    purpose    TEXT   NOT NULL,
    subject    TEXT   COLLATE "C" NOT NULL,
    email      TEXT   COLLATE "C" NOT NULL,
    data       TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX links_subject ON links (subject, purpose);
CREATE INDEX links_expires ON links (expires_at);

-- +goose Down
DROP TABLE links;
ALTER TABLE users DROP COLUMN organization_id;
ALTER TABLE users DROP COLUMN mfa_enabled;
DROP TABLE organizations;
