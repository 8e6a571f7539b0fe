-- Average bytes of the columns that differ in size, of a part of the log that is
-- large enough.
SELECT part.name, avg(part.size)::float8
FROM (SELECT * FROM log.events ORDER BY "offset" DESC LIMIT 20000) AS event
CROSS JOIN LATERAL (VALUES
    ('payload', pg_column_size(event.payload)),
    ('sealed', COALESCE(pg_column_size(event.sealed), 0)),
    ('metadata', pg_column_size(event.metadata)),
    ('metadata_sealed', COALESCE(pg_column_size(event.metadata_sealed), 0)),
    ('stream_id', pg_column_size(event.stream_id)),
    ('type', pg_column_size(event.type))
) AS part (name, size)
GROUP BY part.name
ORDER BY 2 DESC
