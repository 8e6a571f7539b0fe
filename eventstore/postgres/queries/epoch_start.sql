INSERT INTO log.epochs (epoch, system_identifier, timeline, events_oid, last_offset)
SELECT coalesce((SELECT max(epoch) FROM log.epochs), 0) + 1, $1, $2, $3,
       coalesce((SELECT max("offset") FROM log.events), 0)
RETURNING epoch, last_offset
