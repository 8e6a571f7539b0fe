package main

import (
	"context"
	"fmt"
	"time"
)

// side is one of those that are compared.
type side struct {
	name string
	// prepare is not measured; nil for nothing.
	prepare func(ctx context.Context) error
	// measure gives the figure of one round.
	measure func(ctx context.Context) (float64, error)
}

// takeTurns has each side measured once a round, another one first in each, so
// that none has the machine at its best or at its worst. It gives a sample for
// each side.
func (b *bench) takeTurns(ctx context.Context, what string, text func(float64) string, sides ...side) ([]sample, error) {
	samples := make([]sample, len(sides))
	for round := range b.Runs {
		for turn := range sides {
			at := (round + turn) % len(sides)
			now := sides[at]
			if now.prepare != nil {
				if err := now.prepare(ctx); err != nil {
					return nil, fmt.Errorf("%s: prepare %s: %w", what, now.name, err)
				}
			}
			figure, err := now.measure(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", what, now.name, err)
			}
			samples[at] = append(samples[at], figure)
			b.say("%s, round %d of %d: %s %s", what, round+1, b.Runs, now.name, text(figure))
		}
	}
	return samples, nil
}

// timed measures how long something takes, in seconds.
func timed(do func(ctx context.Context) error) func(ctx context.Context) (float64, error) {
	return func(ctx context.Context) (float64, error) {
		began := time.Now()
		err := do(ctx)
		return time.Since(began).Seconds(), err
	}
}
