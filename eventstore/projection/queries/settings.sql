-- A plan that was made while a table was empty reads the whole of it once it has
-- grown: rows that are made from nothing grow faster than statistics.
SET LOCAL plan_cache_mode = force_custom_plan
