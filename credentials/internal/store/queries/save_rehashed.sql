-- FOR SHARE: a password that is being changed or erased either waits and then
-- forgets this verifier too, or has taken the row's version away from under it.
INSERT INTO sessions.rehashed_verifiers AS r (user_id, password_version, verifier, rehashed_at)
SELECT a.user_id, a.password_version, $4, $5
FROM read.projections AS p
JOIN read.access AS a ON a.generation = p.generation AND a.user_id = $2 AND a.password_version = $3
WHERE p.name = $1 AND a.verifier IS NOT NULL
FOR SHARE OF a
ON CONFLICT (user_id) DO UPDATE
SET password_version = excluded.password_version, verifier = excluded.verifier, rehashed_at = excluded.rehashed_at
WHERE r.password_version <= excluded.password_version
