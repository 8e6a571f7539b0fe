SELECT "offset", event_id, stream_id, stream_version, shard, type, schema_version, occurred_at,
       payload, sealed, key_id, metadata, metadata_sealed, metadata_key_id
FROM log.events
WHERE stream_id = $1 AND stream_version >= $2
ORDER BY stream_version
LIMIT $3
