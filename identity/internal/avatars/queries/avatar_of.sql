SELECT a.avatar_id::text
FROM read.avatars AS a
WHERE a.generation = (SELECT p.generation FROM read.projections AS p WHERE p.name = $1) AND a.user_id = $2::uuid
