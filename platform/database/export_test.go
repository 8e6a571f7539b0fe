package database

import "context"

// Keep looks once, for tests that do not wait for Run.
func (k *Keeper) Keep(ctx context.Context) { k.keep(ctx) }
