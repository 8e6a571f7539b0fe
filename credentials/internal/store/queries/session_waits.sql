-- The session is there, and its account may come yet.
SELECT EXISTS (SELECT FROM sessions.sessions WHERE session_id = $2)
    AND NOT EXISTS (SELECT FROM read.projections WHERE name = $1 AND complete)
