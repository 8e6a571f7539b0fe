SELECT coalesce((SELECT max(recorded.stream_version) FROM log.events AS recorded WHERE recorded.stream_id = given.stream_id), 0)
FROM unnest($1::text[]) WITH ORDINALITY AS given (stream_id, place)
ORDER BY given.place
