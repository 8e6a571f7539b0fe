DELETE FROM sessions.sessions
WHERE session_id IN (
    SELECT session_id
    FROM sessions.sessions
    WHERE delete_on <= $1::date
    ORDER BY delete_on
    LIMIT $2
    FOR UPDATE SKIP LOCKED
)
