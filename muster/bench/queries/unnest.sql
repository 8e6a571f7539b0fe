-- The same for many rows.
INSERT INTO log.events (event_id, stream_id, stream_version, shard, type, schema_version, occurred_at,
                        payload, sealed, key_id, metadata, metadata_sealed, metadata_key_id)
SELECT given.*
FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::integer[], $5::text[], $6::integer[], $7::timestamptz[],
            $8::jsonb[], $9::bytea[], $10::uuid[], $11::jsonb[], $12::bytea[], $13::uuid[]) AS given
