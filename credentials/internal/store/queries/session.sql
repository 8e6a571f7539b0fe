SELECT s.user_id, s.password_version, s.access_version, s.counter, s.used_at, s.opened_at, s.last_used_at, s.expires_at,
    s.revoked_at IS NOT NULL, a.password_version, a.must_change, a.active, a.roles, a.sessions_from, a.access_version
FROM sessions.sessions AS s
JOIN read.projections AS p ON p.name = $1 AND p.complete
JOIN read.access AS a ON a.generation = p.generation AND a.user_id = s.user_id
WHERE s.session_id = $2
