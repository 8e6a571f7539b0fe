// Package operations serves what operators do with a service's projections:
// look at them, rebuild and verify them, and deal with parked events.
//
//	OperationsService of the gateway ─┐
//	                                  ├─▶ ProjectionService: Handler ─▶ projection.Projector
//	muster projection, muster parked ─┘
//
// It decides nothing: it finds the projection by its name, and puts what the
// projector says into messages, its refusals into reasons.
package operations
