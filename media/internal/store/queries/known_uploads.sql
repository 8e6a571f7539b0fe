SELECT object_id
FROM storage.objects
WHERE kind = 'upload' AND object_id = ANY ($1::uuid[])
