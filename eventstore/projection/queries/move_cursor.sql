UPDATE read.generations SET cursor = $3 WHERE projection = $1 AND generation = $2
