-- From the rows of objects, which are there before anything is in the log.
SELECT object_id
FROM storage.objects
WHERE owner_id = $1 AND kind = 'file' AND state <> 'doomed' AND object_id > $2
ORDER BY object_id
LIMIT $3
