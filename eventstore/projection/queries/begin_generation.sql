INSERT INTO read.generations (projection, generation, state, epoch, cursor, begun_at)
SELECT p.name, GREATEST(p.generation, (SELECT max(g.generation) FROM read.generations AS g WHERE g.projection = p.name)) + 1, $2, 0, '', now()
FROM read.projections AS p
WHERE p.name = $1
RETURNING generation
