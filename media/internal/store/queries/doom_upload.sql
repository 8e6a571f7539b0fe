WITH declared AS (
    DELETE FROM storage.uploads WHERE upload_id = $1
)
UPDATE storage.objects
SET state = 'doomed', sweep_at = $2
WHERE kind = 'upload' AND object_id = $1 AND state = 'pending'
