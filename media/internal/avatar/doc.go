// Package avatar is the aggregate of a person's picture. It is pure: no clock, no
// I/O, no ids of its own.
//
//	Avatar.Set, Avatar.Remove, Avatar.EndOf   decide: events, or why not
//	Avatar.Apply                              folds what was decided
//
// Its stream is also where media knows that a person was erased: OwnerErased ends
// it, and whoever takes something new from a person looks at it after having put
// it on record. So the one or the other is seen, however they interleave.
package avatar
