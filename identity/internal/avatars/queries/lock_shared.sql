SELECT pg_advisory_xact_lock_shared(hashtextextended('identity avatars', 0))
