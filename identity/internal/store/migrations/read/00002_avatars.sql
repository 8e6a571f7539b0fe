-- +goose Up

-- Who has which picture, folded from media's log.
CREATE TABLE read.avatars (
    generation bigint NOT NULL,
    user_id    uuid   NOT NULL,
    avatar_id  uuid   NOT NULL,
    -- Version of the avatar's stream.
    version    bigint NOT NULL,
    -- The person first: who was erased is looked for in every generation.
    CONSTRAINT avatars_one_a_person PRIMARY KEY (user_id, generation),
    CONSTRAINT avatars_generation_from_one CHECK (generation >= 1),
    CONSTRAINT avatars_version_from_one CHECK (version >= 1)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON read.avatars TO muster_runtime;

-- +goose Down
DROP TABLE read.avatars;
