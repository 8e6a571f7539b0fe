-- Of people who were erased: nobody comes back from that.
DELETE FROM sessions.sessions WHERE user_id = ANY ($1::uuid[])
