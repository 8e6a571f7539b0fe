-- +goose Up

-- Who there is, for lists: one row an account, folded from identity's own log.
-- A row of a projection: it can be made again at any time. COLLATE "C" sorts
-- byte by byte, in the same order wherever the database is, and lets a prefix be
-- a range.
CREATE TABLE read.users (
    generation     bigint      NOT NULL,
    user_id        uuid        NOT NULL,
    -- Canonical, by platform/loginname. Not unique: a name that has gone from one
    -- account to another may reach the rows of the second one first.
    username       text        COLLATE "C" NOT NULL,
    email          text        COLLATE "C" NOT NULL,
    first_name     text        NOT NULL,
    last_name      text        NOT NULL,
    -- What the names are sorted by, without case and accents.
    first_name_key text        COLLATE "C" NOT NULL,
    last_name_key  text        COLLATE "C" NOT NULL,
    roles          text[]      NOT NULL,
    active         boolean     NOT NULL,
    registered_at  timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    -- Version of the account's stream.
    version        bigint      NOT NULL,
    CONSTRAINT users_one_row_a_person PRIMARY KEY (generation, user_id),
    CONSTRAINT users_generation_from_one CHECK (generation >= 1),
    CONSTRAINT users_version_from_one CHECK (version >= 1)
) WITH (fillfactor = 90);

-- An index for each order. Where equals are possible the id decides, so that a
-- page goes on exactly where the one before it ended.
CREATE INDEX users_by_registration ON read.users (generation, registered_at, user_id);
CREATE INDEX users_by_username ON read.users (generation, username, user_id);
CREATE INDEX users_by_email ON read.users (generation, email, user_id);
CREATE INDEX users_by_name ON read.users (generation, last_name_key, first_name_key, user_id);

-- Filters that as a rule hold for few: no order's index would find them soon.
CREATE INDEX users_deactivated ON read.users (generation, registered_at, user_id) WHERE NOT active;
CREATE INDEX users_with_roles ON read.users USING gin (roles) WHERE roles <> '{}';

GRANT SELECT, INSERT, UPDATE, DELETE ON read.users TO muster_runtime;

-- +goose Down
DROP TABLE read.users;
