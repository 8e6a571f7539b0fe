WITH declared AS (
    DELETE FROM storage.uploads AS u
    USING unnest($1::text[], $2::uuid[]) AS gone (kind, object_id)
    WHERE gone.kind = 'upload' AND u.upload_id = gone.object_id
)
DELETE FROM storage.objects AS o
USING unnest($1::text[], $2::uuid[]) AS gone (kind, object_id)
WHERE o.kind = gone.kind AND o.object_id = gone.object_id
