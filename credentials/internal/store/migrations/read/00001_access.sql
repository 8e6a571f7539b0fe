-- +goose Up

-- Who may come in: what a sign-in needs to know, one row a person, folded from
-- the identity log. A row of a projection: it can be made again at any time.
CREATE TABLE read.access (
    generation       bigint  NOT NULL,
    user_id          uuid    NOT NULL,
    -- Canonical, by platform/loginname.
    username         text    NOT NULL,
    email            text    NOT NULL,
    -- Argon2id, a PHC string; null while there is no password that can be used.
    verifier         text,
    -- Stream version of the PasswordSet that verifier is of; 0 without one.
    password_version bigint  NOT NULL,
    must_change      boolean NOT NULL,
    active           boolean NOT NULL,
    roles            text[]  NOT NULL,
    -- Stream version of the last event that changed any of this.
    access_version   bigint  NOT NULL,
    CONSTRAINT access_one_row_a_person PRIMARY KEY (generation, user_id),
    CONSTRAINT access_username_of_one_person UNIQUE (generation, username),
    CONSTRAINT access_email_of_one_person UNIQUE (generation, email),
    CONSTRAINT access_generation_from_one CHECK (generation >= 1),
    CONSTRAINT access_verifier_has_a_version CHECK (verifier IS NULL OR password_version >= 1),
    CONSTRAINT access_version_covers_password CHECK (access_version >= password_version AND password_version >= 0)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON read.access TO muster_runtime;

-- +goose Down
DROP TABLE read.access;
