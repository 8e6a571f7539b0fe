DELETE FROM log.commands
WHERE (caller, method, key) IN (
    SELECT caller, method, key
    FROM log.commands
    WHERE expires_at <= now()
    ORDER BY expires_at
    LIMIT $1
    FOR UPDATE SKIP LOCKED)
