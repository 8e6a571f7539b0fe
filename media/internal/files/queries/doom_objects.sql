INSERT INTO storage.objects AS o (kind, object_id, owner_id, state, version, writable_until, sweep_at)
SELECT d.kind, d.object_id, d.owner_id, 'doomed', d.version, $2, $2
FROM jsonb_to_recordset($1::jsonb) AS d (kind text, object_id uuid, owner_id uuid, version bigint)
ON CONFLICT (kind, object_id) DO UPDATE
SET state = 'doomed', sweep_at = excluded.sweep_at
WHERE o.state <> 'doomed'
