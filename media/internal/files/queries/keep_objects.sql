-- A row that is missing was swept, or lost with the table: where the object is gone
-- a later event dooms it again.
INSERT INTO storage.objects AS o (kind, object_id, owner_id, state, version, writable_until, sweep_at)
SELECT k.kind, k.object_id, k.owner_id, 'kept', k.version, $2, NULL
FROM jsonb_to_recordset($1::jsonb) AS k (kind text, object_id uuid, owner_id uuid, version bigint)
ON CONFLICT (kind, object_id) DO UPDATE
SET state = 'kept', version = excluded.version, sweep_at = NULL
WHERE o.state = 'pending'
