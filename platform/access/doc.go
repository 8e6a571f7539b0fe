// Package access enforces who may call what, as each method declares it in its
// proto with `option (muster.options.v1.access)`.
//
//	method's option      services ──▶ is the mTLS caller on the list?
//	                     signed_in ─▶ is there a good access token?
//	                     permission ▶ does a role of the person grant it?
//	                     nothing ───▶ refused, always
//
// When a method names services and a rule about the person, both have to hold,
// but for the services that it lists as unaccompanied: they call for nobody.
// NewGate runs on a call's headers, before its body is decoded. gRPC health and
// reflection have no option: platform/serve mounts them outside the gate, for
// anyone who reaches the port, the public one too.
package access
