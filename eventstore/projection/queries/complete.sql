UPDATE read.projections SET complete = true WHERE name = $1 AND incarnation = $2 AND NOT complete
