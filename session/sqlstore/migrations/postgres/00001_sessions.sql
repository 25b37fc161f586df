-- +goose Up
-- Instants are microseconds since 1970, UTC. idle_expires_at is never past
-- expires_at, so it alone says when a session is over.
CREATE TABLE sessions (
    key             BYTEA   NOT NULL PRIMARY KEY,
    user_id         TEXT    COLLATE "C" NOT NULL,
    email           TEXT    COLLATE "C" NOT NULL,
    created_at      BIGINT  NOT NULL,
    expires_at      BIGINT  NOT NULL,
    idle_expires_at BIGINT  NOT NULL,
    version         BIGINT  NOT NULL,
    record          BYTEA   NOT NULL
);
CREATE INDEX sessions_user ON sessions (user_id, created_at);
CREATE INDEX sessions_email ON sessions (email, created_at);
CREATE INDEX sessions_created ON sessions (created_at);
CREATE INDEX sessions_end ON sessions (idle_expires_at);

-- When all sessions of a user were ended last: one that began before, but is
-- stored after, is refused. Kept for a day, much longer than a sign-in takes.
CREATE TABLE session_user_ends (
    user_id  TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    ended_at BIGINT NOT NULL
);
CREATE INDEX session_user_ends_at ON session_user_ends (ended_at);

-- Other gates keep copies, and are told which are no longer true, whoever wrote
-- and by whatever statement. Use (idle_expires_at alone) is not told: it
-- happens often, and a copy whose own end has come is read again anyway.
-- The channel has the table's number in its name: another schema's is another.
-- +goose StatementBegin
CREATE FUNCTION session_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('gate_session_' || TG_RELID, encode(OLD.key, 'hex'));
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION session_all_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('gate_session_' || TG_RELID, repeat('0', 64));
    RETURN NULL;
END
$$;
-- +goose StatementEnd

CREATE TRIGGER session_deleted AFTER DELETE ON sessions
    FOR EACH ROW EXECUTE FUNCTION session_changed();
CREATE TRIGGER session_updated AFTER UPDATE ON sessions
    FOR EACH ROW WHEN ((OLD.key, OLD.version, OLD.record, OLD.expires_at) IS DISTINCT FROM (NEW.key, NEW.version, NEW.record, NEW.expires_at))
    EXECUTE FUNCTION session_changed();
CREATE TRIGGER sessions_truncated AFTER TRUNCATE ON sessions
    FOR EACH STATEMENT EXECUTE FUNCTION session_all_changed();

-- The lock makes one that begins and the end of all take turns; each statement
-- of the function sees what was committed before it. A lock has many users, so
-- that storing many records at once (a restore) does not run out of locks.
-- +goose StatementBegin
CREATE FUNCTION session_begins() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(TG_RELID::int, hashtext(NEW.user_id) & 1023);
    IF EXISTS (SELECT FROM session_user_ends e WHERE e.user_id = NEW.user_id AND e.ended_at > NEW.created_at) THEN
        RAISE EXCEPTION 'all sessions of the user were ended meanwhile' USING ERRCODE = 'NSC01';
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd

CREATE TRIGGER session_begins BEFORE INSERT ON sessions
    FOR EACH ROW EXECUTE FUNCTION session_begins();

-- +goose Down
DROP TABLE sessions;
DROP TABLE session_user_ends;
DROP FUNCTION session_begins();
DROP FUNCTION session_changed();
DROP FUNCTION session_all_changed();
