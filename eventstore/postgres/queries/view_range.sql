-- A window of the log, the newest first: from $2 on, before $1. The filters: types
-- by their full names or their last parts ($3), the beginning of the stream's name
-- ($4), the actor ($5), from ($6) and before ($7) which time it occurred. The
-- beginning is compared in a way that no index knows: by that of the streams, one
-- window would be looked for among all events of such names.
SELECT "offset", event_id, stream_id, stream_version, shard, type, schema_version, occurred_at,
       payload, sealed, key_id, metadata, metadata_sealed, metadata_key_id
FROM log.events
WHERE "offset" < $1 AND "offset" >= $2
  AND ($3::text[] IS NULL OR type = ANY ($3::text[]) OR substring(type FROM '[^.]+$') = ANY ($3::text[]))
  AND left(stream_id, length($4::text)) = $4::text
  AND ($5::text = '' OR metadata ->> 'actor' = $5::text)
  AND ($6::timestamptz IS NULL OR occurred_at >= $6::timestamptz)
  AND ($7::timestamptz IS NULL OR occurred_at < $7::timestamptz)
ORDER BY "offset" DESC
LIMIT $8
