// Package operator works on the projections of a running Muster from outside, and
// looks into its event logs: it calls each service directly, over mTLS, under a
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
//	log.go         what has happened to the event logs
//	events.go      what is in them: listed, followed, and of one account
//	errors.go      what went wrong, in words for people
package operator
