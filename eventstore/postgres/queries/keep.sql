-- Locks all names of the kinds, the stream's own too, so that whoever gives one
-- of them back at the same time waits, and then sees what is left. In the order
-- of the names, so that two who do wait for one another instead of locking up.
SELECT kind, stream_id <> $1 AS of_another
FROM log.reservations
WHERE kind = ANY ($2::text[])
ORDER BY kind, hash
FOR UPDATE
