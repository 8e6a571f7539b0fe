-- +goose Up

-- Keys that events are sealed under, wrapped by the key-encryption key.
CREATE TABLE keyring.keys (
    key_id       uuid        NOT NULL,
    wrapped      bytea,
    kek_id       text        NOT NULL,
    -- The service that it was made for, which alone may destroy it.
    made_for     text        NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    destroyed_at timestamptz,
    CONSTRAINT keys_pkey PRIMARY KEY (key_id),
    CONSTRAINT keys_made_for_a_service CHECK (made_for <> ''),
    CONSTRAINT destroyed_key_keeps_no_material CHECK ((destroyed_at IS NULL) = (wrapped IS NOT NULL))
);

-- Keys of keyed hashes, one for each purpose, wrapped in the same way.
CREATE TABLE keyring.secrets (
    purpose    text        NOT NULL,
    key_id     uuid        NOT NULL,
    wrapped    bytea       NOT NULL,
    kek_id     text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT one_secret_for_each_purpose PRIMARY KEY (purpose),
    CONSTRAINT secret_ids_are_unique UNIQUE (key_id),
    CONSTRAINT purpose_is_known CHECK (purpose IN ('reservation', 'fingerprint'))
);

-- At run time keys are made, read and destroyed, and changed in no other way:
-- none is ever put in the place of another, and none comes back.
GRANT SELECT, INSERT ON keyring.keys, keyring.secrets TO muster_runtime;
GRANT UPDATE (wrapped, destroyed_at) ON keyring.keys TO muster_runtime;
ALTER TABLE keyring.keys ENABLE ROW LEVEL SECURITY;
CREATE POLICY keys_are_read ON keyring.keys FOR SELECT TO muster_runtime USING (true);
CREATE POLICY keys_are_made ON keyring.keys FOR INSERT TO muster_runtime WITH CHECK (wrapped IS NOT NULL);
CREATE POLICY keys_are_destroyed ON keyring.keys FOR UPDATE TO muster_runtime
    USING (destroyed_at IS NULL) WITH CHECK (destroyed_at IS NOT NULL);

-- +goose Down
DROP TABLE keyring.secrets;
DROP TABLE keyring.keys;
