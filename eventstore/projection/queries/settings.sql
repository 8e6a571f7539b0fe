-- Until the end of the transaction. What a batch is about is found by its key, and
-- by nothing else: as long as a table is small the planner takes a few hundred of
-- its rows for most of them and reads all of it for each batch. A plan that was
-- made while a table was empty does so for longer, since rows that are made from
-- nothing grow faster than statistics.
--
-- Nobody waits for the disk: what a crash of the server takes is a batch with its
-- versions, and with every cursor that lay behind it, so the tail brings it again.
SELECT set_config('plan_cache_mode', 'force_custom_plan', true), set_config('enable_seqscan', 'off', true),
    set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
    set_config('synchronous_commit', 'off', true)
