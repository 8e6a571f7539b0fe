-- The pointer row and the first generation, where they are missing.
WITH made AS (
    INSERT INTO read.projections (name, generation, epoch)
    VALUES ($1, 1, 0)
    ON CONFLICT (name) DO NOTHING
    RETURNING name, generation, epoch
)
INSERT INTO read.generations (projection, generation, state, epoch, cursor, begun_at)
SELECT made.name, made.generation, 'serving', made.epoch, '', now()
FROM made
