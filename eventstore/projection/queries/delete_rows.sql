-- {{table}} is one of the projection's own. The key begins with the generation.
DELETE FROM {{table}}
WHERE ctid = ANY (ARRAY(SELECT t.ctid FROM {{table}} AS t WHERE t.generation = $1 LIMIT $2))
