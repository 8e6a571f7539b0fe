INSERT INTO read.skipped (projection, stream_id, version, event_id, type, reason, skipped_by, skipped_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, now())
ON CONFLICT (stream_id, projection, version) DO UPDATE
SET reason = excluded.reason, skipped_by = excluded.skipped_by, skipped_at = excluded.skipped_at
