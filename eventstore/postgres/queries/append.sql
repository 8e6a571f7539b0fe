-- All events of one command, or none when the predecessor of the first is
-- missing: a unique version alone would let version 9 follow version 1.
-- No list of predecessors, as append_bulk.sql has: the server guesses its length,
-- and then plans the statement anew each time, at half its cost.
INSERT INTO log.events (event_id, stream_id, stream_version, shard, type, schema_version, occurred_at,
                        payload, sealed, key_id, metadata, metadata_sealed, metadata_key_id)
SELECT given.event_id, $1::text, given.stream_version, $3::integer, given.type, given.schema_version, given.occurred_at,
       given.payload, given.sealed, given.key_id, given.metadata, given.metadata_sealed, given.metadata_key_id
FROM unnest($4::uuid[], $5::bigint[], $6::text[], $7::integer[], $8::timestamptz[],
            $9::jsonb[], $10::bytea[], $11::uuid[], $12::jsonb[], $13::bytea[], $14::uuid[])
    AS given (event_id, stream_version, type, schema_version, occurred_at,
              payload, sealed, key_id, metadata, metadata_sealed, metadata_key_id)
WHERE $2::bigint = 0
   OR EXISTS (SELECT FROM log.events AS predecessor WHERE predecessor.stream_id = $1::text AND predecessor.stream_version = $2::bigint)
ORDER BY given.stream_version
