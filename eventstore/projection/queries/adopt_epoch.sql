-- Whoever reads the log first says which incarnation it is.
UPDATE read.projections SET epoch = $2 WHERE name = $1 AND epoch = 0
