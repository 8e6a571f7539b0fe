INSERT INTO read.cursors (projection, generation, cursor)
VALUES ($1, $2, $3)
ON CONFLICT (projection, generation) DO UPDATE SET cursor = excluded.cursor
