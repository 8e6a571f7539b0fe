-- +goose Up

-- Sign-ins and their chains of refresh tokens; the rules are in internal/session.
-- A refresh changes no indexed column, so that its new row stays on its page.
CREATE TABLE sessions.sessions (
    session_id       uuid          NOT NULL,
    user_id          uuid          NOT NULL,
    -- Stream version of the PasswordSet that it was opened with.
    password_version bigint        NOT NULL,
    -- Stream version of the access that it was opened under.
    access_version   bigint        NOT NULL,
    -- Number of the newest refresh token.
    counter          bigint        NOT NULL,
    -- When tokens counter-1, counter-2, … were first used, the last seconds only.
    used_at          timestamptz[] NOT NULL,
    opened_at        timestamptz   NOT NULL,
    last_used_at     timestamptz   NOT NULL,
    expires_at       timestamptz   NOT NULL,
    -- The day from which the row may be deleted, some days after expires_at.
    delete_on        date          NOT NULL,
    revoked_at       timestamptz,
    revoked_reason   text,
    CONSTRAINT sessions_one_row_each PRIMARY KEY (session_id),
    CONSTRAINT sessions_counter_from_one CHECK (counter >= 1),
    CONSTRAINT sessions_password_version_from_one CHECK (password_version >= 1),
    CONSTRAINT sessions_access_covers_password CHECK (access_version >= password_version),
    CONSTRAINT sessions_revoked_for_a_reason CHECK ((revoked_at IS NULL) = (revoked_reason IS NULL)),
    CONSTRAINT sessions_known_reason CHECK (revoked_reason IN ('logout', 'ended', 'reuse'))
) WITH (fillfactor = 80);

CREATE INDEX sessions_by_person ON sessions.sessions (user_id);
CREATE INDEX sessions_by_deletion ON sessions.sessions (delete_on);

-- Verifiers made again at a sign-in, because the costs have changed since the
-- PasswordSet. Not from the log, hence outside the projection.
CREATE TABLE sessions.rehashed_verifiers (
    user_id          uuid        NOT NULL,
    -- Stream version of the PasswordSet whose password this verifies.
    password_version bigint      NOT NULL,
    verifier         text        NOT NULL,
    rehashed_at      timestamptz NOT NULL,
    CONSTRAINT rehashed_verifiers_one_a_person PRIMARY KEY (user_id),
    CONSTRAINT rehashed_verifiers_password_version_from_one CHECK (password_version >= 1)
);

-- Keys that access tokens are signed with. A key is published before it signs,
-- so that every verifier has fetched it, and stays published after it has signed
-- its last, until that token has expired. The state follows from the times.
CREATE TABLE sessions.signing_keys (
    key_id         text        NOT NULL,
    algorithm      text        NOT NULL,
    public_key     bytea       NOT NULL,
    -- AES-256-GCM under the service's key-encryption key.
    sealed_private bytea       NOT NULL,
    created_at     timestamptz NOT NULL,
    CONSTRAINT signing_keys_one_row_each PRIMARY KEY (key_id),
    CONSTRAINT signing_keys_known_algorithm CHECK (algorithm = 'EdDSA'),
    CONSTRAINT signing_keys_ed25519_public_key CHECK (octet_length(public_key) = 32)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON sessions.sessions, sessions.rehashed_verifiers TO muster_runtime;
GRANT SELECT, INSERT ON sessions.signing_keys TO muster_runtime;

-- +goose Down
DROP TABLE sessions.signing_keys;
DROP TABLE sessions.rehashed_verifiers;
DROP TABLE sessions.sessions;
