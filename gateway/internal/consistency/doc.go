// Package consistency makes the token by which a client says what it has to
// see: the position of its last change, signed. Services hand positions to one
// another in clear; only the gateway, where the outside begins, signs and
// verifies.
//
//	command ──▶ identity answers Position ──▶ Sign ──▶ client
//	client ──▶ Login with the token ──▶ Parse ──▶ credentials waits for Position
//
// Without the signature anybody could make a projection wait for a version
// that will never come.
package consistency
