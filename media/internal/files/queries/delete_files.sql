-- OFFSET 0 for the reason that update_public.sql tells.
DELETE FROM read.files AS f
USING (SELECT $1::bigint AS generation, d.file_id FROM unnest($2::uuid[]) AS d (file_id) OFFSET 0) AS d
WHERE f.generation = d.generation AND f.file_id = d.file_id
