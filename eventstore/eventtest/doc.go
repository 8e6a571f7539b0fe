// Package eventtest tests what is built on events: scenarios of an aggregate
// (given these events, when this is decided, then these follow), the conformance
// suites of a log, a broker and a keyring, which each implementation and each
// double of one has to pass, a clock for bounds on a busy machine, and logs of
// former versions, which have to be read for ever. Only tests import it.
package eventtest
