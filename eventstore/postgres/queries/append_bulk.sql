-- append.sql for several streams: all of their events, or none when one that has
-- begun is not at the version before. $1 and $2 are those streams and versions.
-- In the order of the streams, so that two appends to the same ones wait for one
-- another instead of locking up.
INSERT INTO log.events (event_id, stream_id, stream_version, shard, type, schema_version, occurred_at,
                        payload, sealed, key_id, metadata, metadata_sealed, metadata_key_id)
SELECT given.event_id, given.stream_id, given.stream_version, given.shard, given.type, given.schema_version, given.occurred_at,
       given.payload, given.sealed, given.key_id, given.metadata, given.metadata_sealed, given.metadata_key_id
FROM unnest($3::uuid[], $4::text[], $5::bigint[], $6::integer[], $7::text[], $8::integer[], $9::timestamptz[],
            $10::jsonb[], $11::bytea[], $12::uuid[], $13::jsonb[], $14::bytea[], $15::uuid[])
    AS given (event_id, stream_id, stream_version, shard, type, schema_version, occurred_at,
              payload, sealed, key_id, metadata, metadata_sealed, metadata_key_id)
WHERE cardinality($1::text[]) = (
    -- A subquery for each, never a join: it is an index look-up at any size of the log.
    SELECT count((SELECT predecessor.stream_version
                  FROM log.events AS predecessor
                  WHERE predecessor.stream_id = begun.stream_id AND predecessor.stream_version = begun.stream_version))
    FROM unnest($1::text[], $2::bigint[]) AS begun (stream_id, stream_version))
ORDER BY given.stream_id COLLATE "C", given.stream_version
