SELECT kind, object_id, owner_id, state, writable_until
FROM storage.objects
WHERE sweep_at <= $1
ORDER BY sweep_at
LIMIT $2
FOR UPDATE SKIP LOCKED
