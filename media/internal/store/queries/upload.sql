SELECT owner_id, name, content_type, size, public, expires_at
FROM storage.uploads
WHERE upload_id = $1
