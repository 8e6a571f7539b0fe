-- The first rows that are not the same in both generations: the key, whether each
-- generation has the row, and by column whether it differs and both values.
SELECT ARRAY[{{key_values}}]::text[], s.generation IS NOT NULL, r.generation IS NOT NULL,
    ARRAY[{{differs}}]::boolean[], ARRAY[{{serving}}]::text[], ARRAY[{{rebuilt}}]::text[]
FROM (SELECT * FROM {{table}} WHERE generation = $1) AS s
FULL JOIN (SELECT * FROM {{table}} WHERE generation = $2) AS r USING ({{key}})
WHERE s.generation IS NULL OR r.generation IS NULL OR {{differ}}
ORDER BY {{key}}
LIMIT $3
