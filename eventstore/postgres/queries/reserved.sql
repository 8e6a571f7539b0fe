SELECT DISTINCT held.kind
FROM log.reservations AS held
JOIN unnest($1::text[], $2::bytea[]) AS wanted (kind, hash) ON held.kind = wanted.kind AND held.hash = wanted.hash
ORDER BY held.kind
