INSERT INTO sessions.sessions
    (session_id, user_id, password_version, counter, used_at, opened_at, last_used_at, expires_at, delete_on)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
