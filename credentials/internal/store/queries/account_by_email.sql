-- Of two rows with the name one has given it away, by an event that is not
-- applied yet: the one that was named last has it.
SELECT a.user_id, COALESCE(r.verifier, a.verifier), a.password_version, a.must_change, a.active, a.roles, a.sessions_from, a.access_version
FROM read.projections AS p
JOIN read.access AS a ON a.generation = p.generation AND a.email = $2
LEFT JOIN sessions.rehashed_verifiers AS r ON r.user_id = a.user_id AND r.password_version = a.password_version
WHERE p.name = $1
ORDER BY a.named_at DESC
LIMIT 1
