-- The same rows as tick_candidates.sql, found along the offset index, after $3
-- and up to $4. Rows up to $5 are of former epochs and all belong to the first
-- tick, which begins at offset 0. The filter ($7, $8) as in tick_candidates.sql.
SELECT "offset", event_id, stream_id, stream_version, shard, type, schema_version, occurred_at,
       payload, sealed, key_id, metadata, metadata_sealed, metadata_key_id
FROM log.events
WHERE "offset" > $3 AND "offset" <= $4
  AND ("offset" <= $5
       OR (pg_visible_in_snapshot(transaction_id, $2::pg_snapshot)
           AND NOT pg_visible_in_snapshot(transaction_id, $1::pg_snapshot)))
  AND ($7::text[] IS NULL OR type = ANY ($7::text[])) AND starts_with(stream_id, $8::text)
ORDER BY "offset"
LIMIT $6
