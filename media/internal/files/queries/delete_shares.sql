-- The files are given twice, for the reason that doom_former.sql tells.
DELETE FROM read.shares AS s
USING jsonb_to_recordset($2::jsonb) AS u (file_id uuid, user_id uuid)
WHERE s.generation = $1 AND s.file_id = ANY ($3::uuid[]) AND s.file_id = u.file_id AND s.user_id = u.user_id
