-- Which database this is, and which tables: both change when they are dropped
-- and made again. 0 stands for a table that is not there.
SELECT d.oid, ARRAY(
    SELECT COALESCE(to_regclass(t.name)::oid, 0)
    FROM unnest($1::text[]) WITH ORDINALITY AS t (name, position)
    ORDER BY t.position
)
FROM pg_database AS d
WHERE d.datname = current_database()
