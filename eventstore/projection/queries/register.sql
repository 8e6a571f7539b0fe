INSERT INTO read.projections (name, generation, epoch)
VALUES ($1, 1, 0)
ON CONFLICT (name) DO NOTHING
