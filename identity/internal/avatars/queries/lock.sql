SELECT pg_advisory_xact_lock(hashtextextended('identity avatars', 0))
