WITH promoted AS (
    UPDATE read.generations
    SET state = 'serving', worker = NULL, leased_until = NULL
    WHERE projection = $1 AND generation = $2 AND worker = $3 AND state = $4
    RETURNING projection, generation, epoch
)
UPDATE read.projections AS p
SET generation = promoted.generation, epoch = promoted.epoch
FROM promoted
WHERE p.name = promoted.projection
