-- Rows of people who registered, with all that the batch holds of them.
INSERT INTO read.access AS a
    (generation, user_id, username, email, named_at, verifier, password_version, must_change, active, roles, sessions_from,
     access_version)
SELECT $1, c.user_id, c.username, c.email, c.named_at, c.verifier, COALESCE(c.password_version, 0), COALESCE(c.must_change, false),
    c.active, COALESCE(c.roles, '{}'), COALESCE(c.sessions_from, 0), c.access_version
FROM json_to_recordset($2::json) AS c
    (user_id uuid, username text, email text, named_at timestamptz, verifier text, password_version bigint, must_change boolean,
     active boolean, roles text[], sessions_from bigint, access_version bigint)
ON CONFLICT (generation, user_id) DO UPDATE
SET username = excluded.username, email = excluded.email, named_at = excluded.named_at, verifier = excluded.verifier,
    password_version = excluded.password_version, must_change = excluded.must_change, active = excluded.active,
    roles = excluded.roles, sessions_from = excluded.sessions_from, access_version = excluded.access_version
WHERE a.access_version < excluded.access_version
