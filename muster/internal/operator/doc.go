// Package operator works on the projections of a running Muster from outside:
// it calls the ProjectionService of each service directly, over mTLS, under a
// certificate of its own. Nobody has to be able to sign in for it, so it is what
// is left when sign-in itself is what has to be mended.
//
//	stack.json of a data directory ──▶ At ─┐
//	                                       ├─▶ Places ─▶ Open ─▶ Client ── mTLS, as "operator" ─▶ identity, credentials, media
//	addresses given one by one ────────────┘                       │
//	                                                               └─▶ Projection: Rebuild, Verify … Watch, GiveUp
//
//	places.go      where the services are
//	operator.go    all services at once: what they have, which one has a name
//	projection.go  one projection
//	watch.go       waiting for an operation's end, through outages
//	errors.go      what went wrong, in words for people
package operator
