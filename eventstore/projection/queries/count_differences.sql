-- Rows of either generation, and how many of them are not the same in both. A
-- full join is a merge or a hash join, whatever the planner takes a generation for.
SELECT count(*), count(*) FILTER (WHERE s.generation IS NULL OR r.generation IS NULL OR {{differ}})
FROM (SELECT * FROM {{table}} WHERE generation = $1) AS s
FULL JOIN (SELECT * FROM {{table}} WHERE generation = $2) AS r USING ({{key}})
