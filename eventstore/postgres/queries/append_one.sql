-- append.sql for the one event that most commands append, at two thirds of its cost.
INSERT INTO log.events (event_id, stream_id, stream_version, shard, type, schema_version, occurred_at,
                        payload, sealed, key_id, metadata, metadata_sealed, metadata_key_id)
SELECT $4::uuid, $1::text, $5::bigint, $3::integer, $6::text, $7::integer, $8::timestamptz,
       $9::jsonb, $10::bytea, $11::uuid, $12::jsonb, $13::bytea, $14::uuid
WHERE $2::bigint = 0
   OR EXISTS (SELECT FROM log.events AS predecessor WHERE predecessor.stream_id = $1::text AND predecessor.stream_version = $2::bigint)
