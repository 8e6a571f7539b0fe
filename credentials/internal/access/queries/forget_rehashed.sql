-- A rehashed verifier goes with its password. It is no row of the projection,
-- but its end follows from the log all the same, in any generation.
DELETE FROM sessions.rehashed_verifiers AS r
USING jsonb_to_recordset($1::jsonb) AS c (user_id uuid, forgotten bigint)
WHERE r.user_id = c.user_id AND r.password_version <= c.forgotten
