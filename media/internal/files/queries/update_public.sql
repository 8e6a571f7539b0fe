-- OFFSET 0 hides the generation from the planner: of one that it has no statistics
-- of yet it expects a single row, and would read the whole of it for each batch.
UPDATE read.files AS f
SET public = v.public
FROM (
    SELECT $1::bigint AS generation, v.file_id, v.public
    FROM json_to_recordset($2::json) AS v (file_id uuid, public boolean)
    OFFSET 0
) AS v
WHERE f.generation = v.generation AND f.file_id = v.file_id
