// Package files is the projection of media's own log: the rows that lists are
// read from, and what the log says of objects.
//
//	FileUploaded              ─▶ read.files; its object is kept, its upload is done with
//	FileShared, FileUnshared  ─▶ read.shares, or public
//	FileDeleted               ─▶ no rows; its object is doomed
//	AvatarSet                 ─▶ its object is kept, all former ones are doomed
//	AvatarRemoved             ─▶ its object is doomed
//
// Rows of objects belong to no generation: they say what the storage holds. Made
// again from the beginning of the log they come out the same, but for objects that
// are gone: those are doomed once more, and deleting them again does no harm.
package files
