-- +goose Up

-- Two tables with a column of each kind that rows of projections have.
CREATE TABLE read.people (
    generation bigint      NOT NULL,
    person_id  bigint      NOT NULL,
    name       text        NOT NULL,
    secret     text,
    roles      text[]      NOT NULL,
    seen_at    timestamptz,
    active     boolean     NOT NULL,
    CONSTRAINT people_one_row_each PRIMARY KEY (generation, person_id)
);
CREATE INDEX people_by_name ON read.people (generation, name);

-- Nothing but its key.
CREATE TABLE read.friends (
    generation bigint NOT NULL,
    person_id  bigint NOT NULL,
    friend_id  uuid   NOT NULL,
    CONSTRAINT friends_once PRIMARY KEY (generation, person_id, friend_id)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON read.people, read.friends TO muster_runtime;

-- +goose Down
DROP TABLE read.friends;
DROP TABLE read.people;
