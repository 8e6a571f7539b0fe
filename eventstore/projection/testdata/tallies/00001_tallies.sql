-- +goose Up

-- A fold that shows every fault: the count shows what came twice or never, the
-- digest also what came out of order.
CREATE TABLE read.tallies (
    projection text   NOT NULL,
    generation bigint NOT NULL,
    stream_id  text   NOT NULL,
    events     bigint NOT NULL,
    digest     text   NOT NULL,
    CONSTRAINT tallies_one_a_stream PRIMARY KEY (projection, generation, stream_id)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON read.tallies TO muster_runtime;

-- +goose Down
DROP TABLE read.tallies;
