UPDATE read.files AS f
SET public = v.public
FROM jsonb_to_recordset($2::jsonb) AS v (file_id uuid, public boolean)
WHERE f.generation = $1 AND f.file_id = v.file_id
