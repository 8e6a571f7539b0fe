-- An epoch is numbered by the time at which it begins, in milliseconds since 1970,
-- so that a log that was set back, or made anew, never uses a number again ($5:
-- one that a reader has seen). Rows up to last_offset ($4) are of former epochs.
INSERT INTO log.epochs (epoch, system_identifier, timeline, events_oid, last_offset, reason)
SELECT greatest(coalesce((SELECT max(epoch) FROM log.epochs), 0) + 1, $5::bigint + 1, (extract(epoch FROM clock_timestamp()) * 1000)::bigint),
       $1, $2, $3, $4, $6
RETURNING epoch
