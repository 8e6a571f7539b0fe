UPDATE storage.objects AS o
SET sweep_at = later.sweep_at
FROM unnest($1::text[], $2::uuid[], $3::timestamptz[]) AS later (kind, object_id, sweep_at)
WHERE o.kind = later.kind AND o.object_id = later.object_id
