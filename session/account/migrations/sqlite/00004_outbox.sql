-- +goose Up
-- Mails that wait to be sent, without their text: it is written when they are,
-- and only then has a one-time link (the id in link) a token that somebody knows.
-- origin is JSON. A mail that is being sent is due once that would be over.
CREATE TABLE outbox (
    id        TEXT    NOT NULL PRIMARY KEY,
    kind      TEXT    NOT NULL,
    recipient TEXT    NOT NULL,
    link      TEXT    NOT NULL,
    origin    TEXT    NOT NULL,
    tries     INTEGER NOT NULL,
    due_at    INTEGER NOT NULL,
    ends_at   INTEGER NOT NULL
) STRICT;

CREATE INDEX outbox_due ON outbox (due_at);

-- +goose Down
DROP TABLE outbox;
