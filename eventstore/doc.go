// Package eventstore is the library under every service that keeps its truth in
// events. It knows no service.
//
// It reads in the order in which an event travels:
//
//	event.go       the envelope: what is recorded of one fact
//	store.go       what a log promises: append with an expected version, read by stream, read by cursor
//	aggregate.go   load, decide, append, with a bounded retry
//	seal/          sensitive fields out of the payload and under a key, and back
//	postgres/      the log itself, written by Watermill's SQL publisher; the outbox
//	forwarder/     the ticker that carries the log to the broker
//	broker/        RabbitMQ: topology, publisher with pipelined confirms, subscriber with coalesced acks
//	eventlog/      the log served over Connect to the projections of other services
//	projection/    events into rows: two sources, one apply, read-your-own-writes
//	backoff/       how long all of them, and the services, pause after a fault
//	eventtest/     given-when-then, and the conformance suites of the seams
package eventstore
