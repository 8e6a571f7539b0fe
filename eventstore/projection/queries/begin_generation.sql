-- A number is never given twice: whoever is late to delete the rows of a
-- generation must not meet others. The last operation remembers one that is gone.
INSERT INTO read.generations (projection, generation, state, epoch, cursor, begun_at)
SELECT p.name,
    GREATEST(p.generation,
        (SELECT max(g.generation) FROM read.generations AS g WHERE g.projection = p.name),
        (SELECT o.generation FROM read.operations AS o WHERE o.projection = p.name)) + 1,
    $2, 0, '', now()
FROM read.projections AS p
WHERE p.name = $1
RETURNING generation
