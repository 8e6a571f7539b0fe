// Package admission keeps work that costs much within bounds: hashing passwords,
// decoding pictures, holding large bodies.
//
//	call ──Enter──▶ a place is free ──▶ work ──Leave──▶ its place goes to the first who waits
//	          │
//	          └── all are taken: wait in line ── the line is full: *OverloadedError, at once
package admission
