INSERT INTO read.files (generation, file_id, owner_id, name, content_type, size, public, uploaded_at)
SELECT $1, f.file_id, f.owner_id, f.name, f.content_type, f.size, f.public, f.uploaded_at
FROM json_to_recordset($2::json) AS f
    (file_id uuid, owner_id uuid, name text, content_type text, size bigint, public boolean, uploaded_at timestamptz)
ON CONFLICT (generation, file_id) DO NOTHING
