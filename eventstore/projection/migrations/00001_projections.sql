-- +goose Up

-- The pointer row: which generation of a projection's rows serves. A batch
-- holds it FOR SHARE, whoever moves it takes it FOR UPDATE.
CREATE TABLE read.projections (
    name       text   NOT NULL,
    generation bigint NOT NULL,
    -- Incarnation of the log that the generation was made from; 0 until the log was first read.
    epoch      bigint NOT NULL,
    CONSTRAINT projections_one_row_each PRIMARY KEY (name),
    CONSTRAINT projections_generation_from_one CHECK (generation >= 1),
    CONSTRAINT projections_epoch_not_negative CHECK (epoch >= 0)
);

-- What has gone into the rows, stream by stream. The key begins with the
-- stream: with the projection first, and before the table was ever analyzed, the
-- planner reads the whole projection for each batch. No index holds the
-- version, so an update stays on its page where there is room.
CREATE TABLE read.applied (
    projection text   NOT NULL,
    generation bigint NOT NULL,
    stream_id  text   NOT NULL,
    epoch      bigint NOT NULL,
    version    bigint NOT NULL,
    CONSTRAINT applied_one_version_a_stream PRIMARY KEY (stream_id, projection, generation),
    CONSTRAINT applied_epoch_from_one CHECK (epoch >= 1),
    CONSTRAINT applied_version_not_negative CHECK (version >= 0)
) WITH (fillfactor = 80);

-- Where the tail of the log stands. Every event before the cursor is applied, as
-- far as the log still takes the cursor: it refuses one from before a crash.
CREATE TABLE read.cursors (
    projection text   NOT NULL,
    generation bigint NOT NULL,
    cursor     text   NOT NULL,
    CONSTRAINT cursors_one_a_generation PRIMARY KEY (projection, generation)
);

-- FOR SHARE and FOR UPDATE ask for UPDATE too.
GRANT SELECT, INSERT, UPDATE ON read.projections, read.applied, read.cursors TO muster_runtime;

-- +goose Down
DROP TABLE read.cursors;
DROP TABLE read.applied;
DROP TABLE read.projections;
