-- What is null stays as it is, but for the verifier: it goes with its version,
-- and is null when it was erased.
UPDATE read.access AS a
SET verifier = CASE WHEN c.password_version IS NULL THEN a.verifier ELSE c.verifier END,
    password_version = COALESCE(c.password_version, a.password_version),
    must_change = COALESCE(c.must_change, a.must_change),
    active = COALESCE(c.active, a.active),
    access_version = c.access_version
FROM jsonb_to_recordset($2::jsonb) AS c
    (user_id uuid, verifier text, password_version bigint, must_change boolean, active boolean, access_version bigint)
WHERE a.generation = $1 AND a.user_id = c.user_id AND a.access_version < c.access_version
