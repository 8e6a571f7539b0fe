-- As in settings.sql. Every read that brings a consistency token comes here: to plan
-- takes longer than to look, and there is one way to find a row by its key.
SELECT set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_seqscan', 'off', true),
    set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)
