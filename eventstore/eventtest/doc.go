// Package eventtest tests what is built on events: scenarios of an aggregate
// (given these events, when this is decided, then these follow), the conformance
// suite of a log, which the log itself and the log as it is served both have to
// pass, and logs of former versions, which have to be read for ever. Only tests
// import it.
package eventtest
