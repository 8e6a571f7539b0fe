-- The candidates of a tick from the old snapshot ($1) to the new one ($2), after
-- the offset that was reached ($3); see tick_look.sql.
SELECT "offset", event_id, stream_id, stream_version, shard, type, schema_version, occurred_at,
       payload, sealed, key_id, metadata, metadata_sealed, metadata_key_id
FROM log.events
WHERE transaction_id >= pg_snapshot_xmax($1::pg_snapshot)
  AND transaction_id < pg_snapshot_xmax($2::pg_snapshot)
  AND pg_visible_in_snapshot(transaction_id, $2::pg_snapshot)
  AND "offset" > $3
UNION ALL
SELECT "offset", event_id, stream_id, stream_version, shard, type, schema_version, occurred_at,
       payload, sealed, key_id, metadata, metadata_sealed, metadata_key_id
FROM log.events
WHERE transaction_id = ANY (ARRAY(SELECT pg_snapshot_xip($1::pg_snapshot)))
  AND pg_visible_in_snapshot(transaction_id, $2::pg_snapshot)
  AND "offset" > $3
ORDER BY "offset"
LIMIT $4
