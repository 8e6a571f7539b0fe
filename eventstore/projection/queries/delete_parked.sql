DELETE FROM read.parked WHERE projection = $1 AND generation = $2
