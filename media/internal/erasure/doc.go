// Package erasure takes a person out of media. It follows identity's log:
//
//	UserErased ─▶ the person's avatar stream ends   nothing new is taken from here on
//	           ─▶ each file of the person ends      objects and keys go, by what follows media's own log
//	           ─▶ uploads under way are refused
//	           ─▶ the person leaves all access lists
//
// Each step looks at what is there and does what is missing, so the whole of it
// is begun anew after an interruption, and repeating it changes nothing.
package erasure
