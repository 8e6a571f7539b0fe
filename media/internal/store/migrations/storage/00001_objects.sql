-- +goose Up

-- Every object that is in the storage, may come there, or has to go: a row stands
-- here before its object is put, and until it is deleted (docs/adr/0013).
--
--   pending ──what it is for is in the log──▶ kept ──deleted, replaced──▶ doomed ──object deleted──▶ no row
--      └──────────never in the log, window and grace over───────────────▶ object deleted ──────────▶ no row
CREATE TABLE storage.objects (
    kind           text        NOT NULL,
    object_id      uuid        NOT NULL,
    owner_id       uuid        NOT NULL,
    state          text        NOT NULL,
    -- Stream version of the event that keeps it; 0 while there is none.
    version        bigint      NOT NULL,
    -- Until when somebody may begin to write it: a form, or a call of ours.
    writable_until timestamptz NOT NULL,
    -- From when on the sweeper looks at it; null for what is kept.
    sweep_at       timestamptz,
    CONSTRAINT objects_one_row_each PRIMARY KEY (kind, object_id),
    CONSTRAINT objects_known_kind CHECK (kind IN ('upload', 'file', 'avatar')),
    CONSTRAINT objects_known_state CHECK (state IN ('pending', 'kept', 'doomed')),
    CONSTRAINT objects_version_not_negative CHECK (version >= 0),
    CONSTRAINT objects_swept_unless_kept CHECK ((state = 'kept') = (sweep_at IS NULL))
);

CREATE INDEX objects_to_sweep ON storage.objects (sweep_at) WHERE sweep_at IS NOT NULL;
CREATE INDEX objects_by_owner ON storage.objects (owner_id, kind, object_id);

-- What was declared of an upload, until it is completed or swept. The name is
-- personal: so it is kept no longer than that.
CREATE TABLE storage.uploads (
    upload_id    uuid        NOT NULL,
    owner_id     uuid        NOT NULL,
    name         text        NOT NULL,
    content_type text        NOT NULL,
    size         bigint      NOT NULL,
    public       boolean     NOT NULL,
    expires_at   timestamptz NOT NULL,
    CONSTRAINT uploads_one_row_each PRIMARY KEY (upload_id),
    CONSTRAINT uploads_are_not_empty CHECK (size >= 1)
);

CREATE INDEX uploads_by_owner ON storage.uploads (owner_id);

GRANT SELECT, INSERT, UPDATE, DELETE ON storage.objects, storage.uploads TO muster_runtime;

-- +goose Down
DROP TABLE storage.uploads;
DROP TABLE storage.objects;
