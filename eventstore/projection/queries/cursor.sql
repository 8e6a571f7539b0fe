SELECT c.cursor
FROM read.projections AS p
JOIN read.cursors AS c ON c.projection = p.name AND c.generation = p.generation
WHERE p.name = $1
