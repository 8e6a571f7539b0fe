-- Of a file that has no row, since its key was destroyed, there is nothing to
-- share. OFFSET 0 for the reason that update_public.sql tells.
INSERT INTO read.shares (generation, file_id, user_id, uploaded_at)
SELECT f.generation, f.file_id, s.user_id, f.uploaded_at
FROM (
    SELECT $1::bigint AS generation, s.file_id, s.user_id
    FROM json_to_recordset($2::json) AS s (file_id uuid, user_id uuid)
    OFFSET 0
) AS s
JOIN read.files AS f ON f.generation = s.generation AND f.file_id = s.file_id
ON CONFLICT (generation, file_id, user_id) DO NOTHING
