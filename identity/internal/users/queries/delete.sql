-- OFFSET 0 for the reason that update.sql tells.
DELETE FROM read.users AS u
USING (SELECT $1::bigint AS generation, e.user_id FROM unnest($2::uuid[]) AS e (user_id) OFFSET 0) AS e
WHERE u.generation = e.generation AND u.user_id = e.user_id
