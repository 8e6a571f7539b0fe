-- What the log takes on disk: the table, what is kept apart from it because it
-- is large, maps of free space, and each index.
SELECT 'rows', pg_relation_size(log.oid)::float8
FROM pg_class AS log
WHERE log.oid = 'log.events'::regclass
UNION ALL
SELECT 'large values and maps', (pg_table_size(log.oid) - pg_relation_size(log.oid))::float8
FROM pg_class AS log
WHERE log.oid = 'log.events'::regclass
UNION ALL
SELECT index.relname, pg_relation_size(index.oid)::float8
FROM pg_index
JOIN pg_class AS index ON index.oid = pg_index.indexrelid
WHERE pg_index.indrelid = 'log.events'::regclass
ORDER BY 2 DESC
