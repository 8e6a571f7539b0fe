-- +goose Up

-- The log. A row is written once: the run-time role can neither update nor
-- delete it.
CREATE TABLE log.events (
    -- CACHE 1, the default, is what the reader relies on: an offset is handed
    -- out after all offsets of events that its writer has seen.
    "offset"        bigint GENERATED ALWAYS AS IDENTITY (CACHE 1),
    transaction_id  xid8        NOT NULL DEFAULT pg_current_xact_id(),
    event_id        uuid        NOT NULL,
    stream_id       text        NOT NULL,
    stream_version  bigint      NOT NULL,
    shard           integer     NOT NULL,
    type            text        NOT NULL,
    schema_version  integer     NOT NULL,
    occurred_at     timestamptz NOT NULL,
    payload         jsonb       NOT NULL,
    sealed          bytea,
    key_id          uuid,
    metadata        jsonb       NOT NULL,
    metadata_sealed bytea,
    metadata_key_id uuid,
    CONSTRAINT events_offset_is_unique PRIMARY KEY ("offset"),
    CONSTRAINT events_id_is_unique UNIQUE (event_id),
    CONSTRAINT events_stream_version_is_unique UNIQUE (stream_id, stream_version),
    CONSTRAINT events_stream_is_named CHECK (stream_id <> ''),
    CONSTRAINT events_version_is_positive CHECK (stream_version > 0),
    CONSTRAINT events_shard_is_not_negative CHECK (shard >= 0),
    CONSTRAINT events_type_is_named CHECK (type <> ''),
    CONSTRAINT events_schema_version_is_positive CHECK (schema_version > 0),
    CONSTRAINT events_sealed_names_its_key CHECK (sealed IS NULL OR key_id IS NOT NULL),
    CONSTRAINT events_metadata_sealed_names_its_key CHECK (metadata_sealed IS NULL OR metadata_key_id IS NOT NULL)
);

-- What became visible between two snapshots is a range of transaction ids.
CREATE INDEX events_by_transaction ON log.events (transaction_id, "offset");

-- What was asked before, so that a repeated request is answered, not executed.
CREATE TABLE log.commands (
    caller         text        NOT NULL,
    method         text        NOT NULL,
    key            text        NOT NULL,
    fingerprint    bytea       NOT NULL,
    stream_id      text        NOT NULL,
    stream_version bigint      NOT NULL,
    expires_at     timestamptz NOT NULL,
    CONSTRAINT commands_key_is_unique PRIMARY KEY (caller, method, key),
    CONSTRAINT commands_version_is_positive CHECK (stream_version > 0)
);

CREATE INDEX commands_by_expiry ON log.commands (expires_at);

-- Names that only one stream may hold, as keyed hashes.
CREATE TABLE log.reservations (
    kind        text        NOT NULL,
    hash        bytea       NOT NULL,
    key_id      text        NOT NULL,
    stream_id   text        NOT NULL,
    reserved_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT reservations_name_has_one_holder PRIMARY KEY (kind, hash)
);

CREATE INDEX reservations_by_stream ON log.reservations (stream_id, kind);

-- Incarnations of the log. Transaction ids of rows up to last_offset mean
-- nothing in the epoch: those are read by offset.
CREATE TABLE log.epochs (
    epoch             bigint      NOT NULL,
    system_identifier bigint      NOT NULL,
    timeline          integer     NOT NULL,
    events_oid        oid         NOT NULL,
    last_offset       bigint      NOT NULL,
    started_at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT epochs_epoch_is_unique PRIMARY KEY (epoch),
    CONSTRAINT epochs_epoch_is_positive CHECK (epoch > 0)
);

-- Since when transaction ids are given out once each. A crash loses ids that
-- were given out and not on disk, and gives them out again. UNLOGGED is the
-- point: PostgreSQL empties such a table in crash recovery, on promotion and in
-- base backups, and keeps it over an orderly restart. Whoever finds it empty
-- begins the next lifetime.
CREATE UNLOGGED TABLE log.lifetime (
    only_row boolean     NOT NULL DEFAULT true,
    id       uuid        NOT NULL,
    began_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT lifetime_is_one PRIMARY KEY (only_row),
    CONSTRAINT lifetime_row_is_true CHECK (only_row)
);

-- How far each leading reader has come. The fence counts leaders: one that was
-- superseded cannot save.
CREATE TABLE log.forwarder_checkpoint (
    reader     text        NOT NULL,
    cursor     text        NOT NULL,
    fence      bigint      NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT forwarder_checkpoint_reader_is_unique PRIMARY KEY (reader)
);

GRANT SELECT, INSERT ON log.events, log.epochs, log.lifetime TO muster_runtime;
GRANT SELECT, INSERT, UPDATE ON log.forwarder_checkpoint TO muster_runtime;
GRANT SELECT, INSERT, UPDATE, DELETE ON log.commands, log.reservations TO muster_runtime;

-- +goose Down
DROP TABLE log.forwarder_checkpoint, log.lifetime, log.epochs, log.reservations, log.commands, log.events;
