-- Of a file that has no row, since its key was destroyed, there is nothing to share.
INSERT INTO read.shares (generation, file_id, user_id, uploaded_at)
SELECT f.generation, f.file_id, s.user_id, f.uploaded_at
FROM jsonb_to_recordset($2::jsonb) AS s (file_id uuid, user_id uuid)
JOIN read.files AS f ON f.generation = $1 AND f.file_id = s.file_id
ON CONFLICT (generation, file_id, user_id) DO NOTHING
