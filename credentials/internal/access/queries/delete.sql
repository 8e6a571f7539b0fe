-- OFFSET 0 for the reason that update.sql tells.
DELETE FROM read.access AS a
USING (SELECT $1::bigint AS generation, e.user_id FROM unnest($2::uuid[]) AS e (user_id) OFFSET 0) AS e
WHERE a.generation = e.generation AND a.user_id = e.user_id
