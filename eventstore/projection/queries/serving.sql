SELECT p.incarnation, p.generation, g.cursor
FROM read.projections AS p
JOIN read.generations AS g ON g.projection = p.name AND g.generation = p.generation
WHERE p.name = $1
