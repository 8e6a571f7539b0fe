SELECT complete FROM read.projections WHERE name = $1
