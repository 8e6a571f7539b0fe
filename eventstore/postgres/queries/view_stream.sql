-- The same filters as in view_range.sql, of one stream ($3), by its own index: in
-- a stream the order of offsets is that of versions.
SELECT "offset", event_id, stream_id, stream_version, shard, type, schema_version, occurred_at,
       payload, sealed, key_id, metadata, metadata_sealed, metadata_key_id
FROM log.events
WHERE stream_id = $3::text AND "offset" < $1
  AND ($2::text[] IS NULL OR type = ANY ($2::text[]) OR substring(type FROM '[^.]+$') = ANY ($2::text[]))
  AND ($4::text = '' OR metadata ->> 'actor' = $4::text)
  AND ($5::timestamptz IS NULL OR occurred_at >= $5::timestamptz)
  AND ($6::timestamptz IS NULL OR occurred_at < $6::timestamptz)
ORDER BY stream_version DESC
LIMIT $7
