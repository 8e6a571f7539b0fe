// Package eraser ends what is left of a person after UserErased: the keys that
// open what the log holds of them, and the row of their picture.
//
//	log ──UserErased──▶ eraser ─▶ keyring: key material gone, a tombstone stays
//	                           ─▶ read.avatars: row gone
//
// It is a reader of the log with a checkpoint, like the forwarder, and no
// projection: a key that is destroyed is no row that could be made again in a
// shadow, and a transaction must not stay open while another database is
// written. Whatever it does may be done twice, so after a crash, or in a new
// epoch of the log, it goes over the ground again.
package eraser
