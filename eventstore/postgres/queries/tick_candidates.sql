-- The candidates of a tick from the old snapshot ($1) to the new one ($2), after
-- the offset that was reached ($3); see tick_look.sql. Of these the filter chooses by
-- type ($5, NULL for all) and by the beginning of the stream's name ($6).
SELECT "offset", event_id, stream_id, stream_version, shard, type, schema_version, occurred_at,
       payload, sealed, key_id, metadata, metadata_sealed, metadata_key_id
FROM log.events
WHERE transaction_id >= pg_snapshot_xmax($1::pg_snapshot)
  AND transaction_id < pg_snapshot_xmax($2::pg_snapshot)
  AND pg_visible_in_snapshot(transaction_id, $2::pg_snapshot)
  AND "offset" > $3
  AND ($5::text[] IS NULL OR type = ANY ($5::text[])) AND starts_with(stream_id, $6::text)
UNION ALL
SELECT "offset", event_id, stream_id, stream_version, shard, type, schema_version, occurred_at,
       payload, sealed, key_id, metadata, metadata_sealed, metadata_key_id
FROM log.events
WHERE transaction_id = ANY (ARRAY(SELECT pg_snapshot_xip($1::pg_snapshot)))
  AND pg_visible_in_snapshot(transaction_id, $2::pg_snapshot)
  AND "offset" > $3
  AND ($5::text[] IS NULL OR type = ANY ($5::text[])) AND starts_with(stream_id, $6::text)
ORDER BY "offset"
LIMIT $4
