-- What is null stays as it is, but for the verifier: it goes with its version,
-- and is null when it was erased. OFFSET 0 hides the generation from the planner:
-- of one that it has no statistics of yet it expects a single row, and would read
-- the whole of it for each batch.
UPDATE read.access AS a
SET username = COALESCE(c.username, a.username),
    email = COALESCE(c.email, a.email),
    named_at = COALESCE(c.named_at, a.named_at),
    verifier = CASE WHEN c.password_version IS NULL THEN a.verifier ELSE c.verifier END,
    password_version = COALESCE(c.password_version, a.password_version),
    must_change = COALESCE(c.must_change, a.must_change),
    active = COALESCE(c.active, a.active),
    roles = COALESCE(c.roles, a.roles),
    sessions_from = COALESCE(c.sessions_from, a.sessions_from),
    access_version = c.access_version
FROM (
    SELECT $1::bigint AS generation, c.*
    FROM json_to_recordset($2::json) AS c
        (user_id uuid, username text, email text, named_at timestamptz, verifier text, password_version bigint, must_change boolean,
         active boolean, roles text[], sessions_from bigint, access_version bigint)
    OFFSET 0
) AS c
WHERE a.generation = c.generation AND a.user_id = c.user_id AND a.access_version < c.access_version
