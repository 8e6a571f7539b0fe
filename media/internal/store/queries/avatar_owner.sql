SELECT owner_id
FROM storage.objects
WHERE kind = 'avatar' AND object_id = $1 AND state <> 'doomed'
