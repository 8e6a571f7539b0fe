-- No row means that the command is on record already. A concurrent duplicate
-- waits here for the first. An expired row counts as none.
INSERT INTO log.commands AS recorded (caller, method, key, fingerprint, stream_id, stream_version, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, now() + $7::interval)
ON CONFLICT ON CONSTRAINT commands_key_is_unique DO UPDATE
SET fingerprint = excluded.fingerprint, stream_id = excluded.stream_id, stream_version = excluded.stream_version, expires_at = excluded.expires_at
WHERE recorded.expires_at <= now()
