WITH declared AS (
    DELETE FROM storage.uploads WHERE owner_id = $1
)
UPDATE storage.objects
SET state = 'doomed', sweep_at = $2
WHERE owner_id = $1 AND kind = 'upload' AND state = 'pending'
