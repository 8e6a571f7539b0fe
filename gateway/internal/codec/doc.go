// Package codec reads public requests and writes public answers. JSON is
// strict: a field that the method does not know is a fault, since it is nearly
// always a misspelt one. Binary protobuf keeps Connect's own codec, which
// tolerates unknown fields, so that programs of different versions work together.
//
//	bytes ──▶ Unmarshal ──▶ message
//	              └─ error: the place, never the value ──▶ platform/serve: reason and field
package codec
