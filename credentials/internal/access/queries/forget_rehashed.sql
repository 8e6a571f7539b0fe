-- A rehashed verifier goes with its password. It is no row of the projection,
-- but its end follows from the log all the same.
DELETE FROM sessions.rehashed_verifiers AS r
USING unnest($1::uuid[], $2::bigint[]) AS ended (user_id, up_to)
WHERE r.user_id = ended.user_id AND r.password_version <= ended.up_to
