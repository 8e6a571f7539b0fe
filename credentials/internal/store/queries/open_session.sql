-- FOR SHARE: an erasure either waits and then deletes this session too, or has
-- taken the row away from under it.
INSERT INTO sessions.sessions
    (session_id, user_id, password_version, access_version, counter, used_at, opened_at, last_used_at, expires_at, delete_on)
SELECT $2, a.user_id, $4, $5, $6, $7, $8, $9, $10, $11
FROM read.projections AS p
JOIN read.access AS a ON a.generation = p.generation AND a.user_id = $3
WHERE p.name = $1 AND p.complete
FOR SHARE OF a
