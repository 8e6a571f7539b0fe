-- By the version of the event that kept them: two pictures that came at once are
-- ordered by the log, and by nothing else. The people are given twice, since the
-- planner would read the pictures of all people rather than join on an unknown few.
UPDATE storage.objects AS o
SET state = 'doomed', sweep_at = $2
FROM jsonb_to_recordset($1::jsonb) AS f (owner_id uuid, version bigint)
WHERE o.owner_id = ANY ($3::uuid[]) AND o.owner_id = f.owner_id
    AND o.kind = 'avatar' AND o.state = 'kept' AND o.version < f.version
