UPDATE sessions.sessions
SET revoked_at = $2, revoked_reason = $3
WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2
