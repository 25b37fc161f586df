-- +goose Up
-- Instants are microseconds since 1970, UTC. name_key is the name as it is
-- compared; settings is a JSON object.
CREATE TABLE organizations (
    id         TEXT    NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL,
    name_key   TEXT    NOT NULL UNIQUE,
    domain     TEXT    NOT NULL,
    settings   TEXT    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

INSERT INTO organizations (id, name, name_key, domain, settings, created_at)
    VALUES ('org_default', 'Default Organization', 'default organization', '', '{}', CAST(strftime('%s', 'now') AS INTEGER) * 1000000);

INSERT INTO organizations (id, name, name_key, domain, settings, created_at)
    SELECT 'org_' || lower(hex(randomblob(16))), min(organization), lower(organization), '', '{}', CAST(strftime('%s', 'now') AS INTEGER) * 1000000
    FROM users WHERE organization <> '' AND lower(organization) <> 'default organization' GROUP BY lower(organization);

ALTER TABLE users ADD COLUMN organization_id TEXT NOT NULL DEFAULT 'org_default';

UPDATE users SET organization_id = (SELECT o.id FROM organizations o WHERE o.name_key = lower(users.organization)) WHERE organization <> '';

-- users.organization stays, and has the organization's name: gates of before
-- read it, and set nothing else.
UPDATE users SET organization = (SELECT o.name FROM organizations o WHERE o.id = users.organization_id);

ALTER TABLE users ADD COLUMN mfa_enabled INTEGER NOT NULL DEFAULT 1;

CREATE INDEX users_organization ON users (organization_id);

-- Links that work once. hash is SHA-256 of the token, in hex; subject is whom or
-- what it is about, and data what its purpose needs, as JSON.
CREATE TABLE links (
    hash       TEXT    NOT NULL PRIMARY KEY,
    id         TEXT    NOT NULL UNIQUE,
    purpose    TEXT    NOT NULL,
    subject    TEXT    NOT NULL,
    email      TEXT    NOT NULL,
    data       TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE INDEX links_subject ON links (subject, purpose);
CREATE INDEX links_expires ON links (expires_at);

-- +goose Down
DROP TABLE links;
DROP INDEX users_organization;
ALTER TABLE users DROP COLUMN organization_id;
ALTER TABLE users DROP COLUMN mfa_enabled;
DROP TABLE organizations;
