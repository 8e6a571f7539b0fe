SELECT stream_id, version, event_id, type, skipped_at, skipped_by, reason
FROM read.skipped
WHERE projection = $1
ORDER BY skipped_at DESC, stream_id, version
LIMIT $2
