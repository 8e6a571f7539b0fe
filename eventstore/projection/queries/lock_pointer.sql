SELECT incarnation, generation, epoch FROM read.projections WHERE name = $1 FOR SHARE
