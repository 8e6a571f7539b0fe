SELECT EXISTS (SELECT FROM read.skipped WHERE projection = $1 AND stream_id = $2 AND version = $3 AND event_id = $4)
