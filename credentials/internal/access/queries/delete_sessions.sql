-- Of people who were erased, in any generation: nobody comes back from that.
DELETE FROM sessions.sessions WHERE user_id = ANY ($1::uuid[])
