-- +goose Up

-- A database that was lost and made again has another incarnation: whoever
-- remembers a place of the former one begins anew.
ALTER TABLE read.projections ADD COLUMN incarnation uuid NOT NULL DEFAULT gen_random_uuid();

-- Whether the rows that serve have ever held all of the log. Until they have,
-- somebody who is not in them may be yet, and somebody who is may be as they were
-- long ago. What serves already has.
ALTER TABLE read.projections ADD COLUMN complete boolean NOT NULL DEFAULT true;
ALTER TABLE read.projections ALTER COLUMN complete SET DEFAULT false;

-- The generations of a projection's rows, and how far each is.
--
--   building ──swap──▶ serving ──swap of another──▶ former ──drop, next rebuild──▶ dropping ──▶ no row
--   verifying ──compared────────────────────────────────────────────────────────▶ dropping
--   former ──rollback──▶ returning ──swap──▶ serving
CREATE TABLE read.generations (
    projection   text        NOT NULL,
    generation   bigint      NOT NULL,
    state        text        NOT NULL,
    -- Incarnation of the log that it is made from; 0 until the log was first read.
    epoch        bigint      NOT NULL,
    -- Every event of the log before it is applied, as far as the log still takes
    -- the cursor: it refuses one from before a crash. Empty for the beginning.
    cursor       text        NOT NULL,
    begun_at     timestamptz NOT NULL,
    -- The process that feeds or deletes it, unless it serves, and until when no
    -- other one may.
    worker       uuid,
    leased_until timestamptz,
    CONSTRAINT generations_one_row_each PRIMARY KEY (projection, generation),
    CONSTRAINT generations_number_from_one CHECK (generation >= 1),
    CONSTRAINT generations_epoch_not_negative CHECK (epoch >= 0),
    CONSTRAINT generations_known_state CHECK (state IN ('building', 'verifying', 'serving', 'former', 'returning', 'dropping'))
) WITH (fillfactor = 50);

CREATE UNIQUE INDEX generations_one_serves ON read.generations (projection) WHERE state = 'serving';
CREATE UNIQUE INDEX generations_one_is_former ON read.generations (projection) WHERE state = 'former';

INSERT INTO read.generations (projection, generation, state, epoch, cursor, begun_at)
SELECT p.name, p.generation, 'serving', p.epoch, COALESCE(c.cursor, ''), now()
FROM read.projections AS p
LEFT JOIN read.cursors AS c ON c.projection = p.name AND c.generation = p.generation;

DROP TABLE read.cursors;

-- What was last done with each projection.
CREATE TABLE read.operations (
    projection   text             NOT NULL,
    generation   bigint           NOT NULL,
    kind         text             NOT NULL,
    state        text             NOT NULL,
    started_at   timestamptz      NOT NULL,
    started_by   text             NOT NULL,
    finished_at  timestamptz,
    events_done  bigint           NOT NULL,
    events_left  bigint           NOT NULL,
    -- Events a second.
    rate         double precision NOT NULL,
    problem      text             NOT NULL,
    verification jsonb,
    CONSTRAINT operations_last_of_each PRIMARY KEY (projection),
    CONSTRAINT operations_known_kind CHECK (kind IN ('rebuild', 'verify')),
    CONSTRAINT operations_known_state CHECK (state IN ('running', 'done', 'failed', 'cancelled')),
    CONSTRAINT operations_finished_unless_running CHECK ((state = 'running') = (finished_at IS NULL))
) WITH (fillfactor = 50);

-- They compete for one disk, so the second would make both slower.
CREATE UNIQUE INDEX operations_one_at_a_time ON read.operations ((true)) WHERE state = 'running';

-- Events that could not be applied. The stream stays at the version before; its
-- later events wait in the log.
CREATE TABLE read.parked (
    projection  text        NOT NULL,
    generation  bigint      NOT NULL,
    stream_id   text        NOT NULL,
    version     bigint      NOT NULL,
    event_id    uuid        NOT NULL,
    type        text        NOT NULL,
    occurred_at timestamptz NOT NULL,
    parked_at   timestamptz NOT NULL,
    -- Version of the last event of the stream that is known to wait.
    latest      bigint      NOT NULL,
    attempts    integer     NOT NULL,
    problem     text        NOT NULL,
    CONSTRAINT parked_one_a_stream PRIMARY KEY (stream_id, projection, generation),
    CONSTRAINT parked_version_from_one CHECK (version >= 1),
    CONSTRAINT parked_latest_waits_behind CHECK (latest >= version)
);

CREATE INDEX parked_by_age ON read.parked (projection, generation, parked_at);

-- Events that an operator left out. They are tried again by each rebuild, and
-- left out again where they still cannot be applied.
CREATE TABLE read.skipped (
    projection text        NOT NULL,
    stream_id  text        NOT NULL,
    version    bigint      NOT NULL,
    event_id   uuid        NOT NULL,
    type       text        NOT NULL,
    reason     text        NOT NULL,
    skipped_by text        NOT NULL,
    skipped_at timestamptz NOT NULL,
    CONSTRAINT skipped_once_each PRIMARY KEY (stream_id, projection, version),
    CONSTRAINT skipped_for_a_reason CHECK (reason <> '')
);

GRANT DELETE ON read.applied TO muster_runtime;
GRANT SELECT, INSERT, UPDATE, DELETE ON read.generations, read.parked TO muster_runtime;
GRANT SELECT, INSERT, UPDATE ON read.operations, read.skipped TO muster_runtime;

-- +goose Down
CREATE TABLE read.cursors (
    projection text   NOT NULL,
    generation bigint NOT NULL,
    cursor     text   NOT NULL,
    CONSTRAINT cursors_one_a_generation PRIMARY KEY (projection, generation)
);
GRANT SELECT, INSERT, UPDATE ON read.cursors TO muster_runtime;
INSERT INTO read.cursors (projection, generation, cursor)
SELECT projection, generation, cursor FROM read.generations WHERE state = 'serving' AND cursor <> '';
DROP TABLE read.skipped;
DROP TABLE read.parked;
DROP TABLE read.operations;
DROP TABLE read.generations;
REVOKE DELETE ON read.applied FROM muster_runtime;
ALTER TABLE read.projections DROP COLUMN complete;
ALTER TABLE read.projections DROP COLUMN incarnation;
