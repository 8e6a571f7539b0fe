-- What the log's append is measured against: one row, without a look at the
-- predecessor. The columns that are not given have the same defaults.
INSERT INTO log.events (event_id, stream_id, stream_version, shard, type, schema_version, occurred_at,
                        payload, sealed, key_id, metadata, metadata_sealed, metadata_key_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
