WITH declared AS (
    DELETE FROM storage.uploads WHERE upload_id = ANY ($1::uuid[])
)
UPDATE storage.objects
SET state = 'doomed', sweep_at = $2
WHERE kind = 'upload' AND object_id = ANY ($1::uuid[]) AND state = 'pending'
