-- +goose Up

-- Who may come in: what a sign-in needs to know, one row a person, folded from
-- the identity log. A row of a projection: it can be made again at any time.
CREATE TABLE read.access (
    generation       bigint      NOT NULL,
    user_id          uuid        NOT NULL,
    -- Canonical, by platform/loginname. No constraint holds them to one person:
    -- of a name that has changed hands the taking may be applied before the
    -- giving, since they are of two streams.
    username         text        NOT NULL,
    email            text        NOT NULL,
    -- When either was last taken. Of two rows with one name the newer is right.
    named_at         timestamptz NOT NULL,
    -- Argon2id, a PHC string; null while there is no password that can be used.
    verifier         text,
    -- Stream version of the PasswordSet that verifier is of; 0 without one.
    password_version bigint      NOT NULL,
    must_change      boolean     NOT NULL,
    active           boolean     NOT NULL,
    roles            text[]      NOT NULL,
    -- Stream version of the last PasswordSet or UserDeactivated; 0 without one.
    -- Sessions that were opened under an older access_version are over.
    sessions_from    bigint      NOT NULL,
    -- Stream version of the last event that changed any of this.
    access_version   bigint      NOT NULL,
    CONSTRAINT access_one_row_a_person PRIMARY KEY (generation, user_id),
    CONSTRAINT access_generation_from_one CHECK (generation >= 1),
    CONSTRAINT access_verifier_has_a_version CHECK (verifier IS NULL OR password_version >= 1),
    CONSTRAINT access_sessions_end_with_the_password CHECK (sessions_from >= password_version AND password_version >= 0),
    CONSTRAINT access_version_covers_all CHECK (access_version >= sessions_from)
);

CREATE INDEX access_by_username ON read.access (generation, username);
CREATE INDEX access_by_email ON read.access (generation, email);

GRANT SELECT, INSERT, UPDATE, DELETE ON read.access TO muster_runtime;

-- +goose Down
DROP TABLE read.access;
