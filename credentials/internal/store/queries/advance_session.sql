-- Compare and set: no lock is held between reading a session and this.
UPDATE sessions.sessions
SET counter = $3, used_at = $4, last_used_at = $5, expires_at = $6, delete_on = $7
WHERE session_id = $1 AND counter = $2 AND revoked_at IS NULL
