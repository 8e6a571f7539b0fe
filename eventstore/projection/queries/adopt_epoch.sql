-- Whoever reads the log first says which incarnation it is.
WITH adopted AS (
    UPDATE read.projections SET epoch = $2 WHERE name = $1 AND epoch = 0
    RETURNING name, generation
)
UPDATE read.generations AS g SET epoch = $2
FROM adopted
WHERE g.projection = adopted.name AND g.generation = adopted.generation
