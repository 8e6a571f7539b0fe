-- +goose Up

-- Keys that events are sealed under, wrapped by the key-encryption key.
CREATE TABLE keyring.keys (
    key_id       uuid        NOT NULL,
    wrapped      bytea,
    kek_id       text        NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    destroyed_at timestamptz,
    CONSTRAINT keys_pkey PRIMARY KEY (key_id),
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

-- At run time keys are made and read; none is ever changed back.
GRANT SELECT, INSERT ON keyring.keys, keyring.secrets TO muster_runtime;

-- +goose Down
DROP TABLE keyring.secrets;
DROP TABLE keyring.keys;
