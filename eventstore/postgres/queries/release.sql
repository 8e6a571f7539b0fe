DELETE FROM log.reservations WHERE stream_id = $1 AND kind = ANY ($2::text[])
