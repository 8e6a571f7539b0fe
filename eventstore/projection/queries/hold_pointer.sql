-- Until the end of the transaction nothing is applied to the rows that serve.
SELECT incarnation, generation, epoch FROM read.projections WHERE name = $1 FOR UPDATE
