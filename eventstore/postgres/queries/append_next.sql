-- append.sql for the one event that most commands append: its row is made of its
-- predecessor's, so there is none where that is missing.
INSERT INTO log.events (event_id, stream_id, stream_version, shard, type, schema_version, occurred_at,
                        payload, sealed, key_id, metadata, metadata_sealed, metadata_key_id)
SELECT $1::uuid, predecessor.stream_id, predecessor.stream_version + 1, $3::integer, $4::text, $5::integer, $6::timestamptz,
       $7::jsonb, $8::bytea, $9::uuid, $10::jsonb, $11::bytea, $12::uuid
FROM log.events AS predecessor
WHERE predecessor.stream_id = $2::text AND predecessor.stream_version = $13::bigint
