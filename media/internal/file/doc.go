// Package file is the aggregate of one file: whose it is, who may read it, and
// what its name and its content may be. It is pure: no clock, no I/O, no ids of
// its own.
//
//	Upload, File.Share, File.Unshare, File.Delete   decide: events, or why not
//	File.Apply                                      folds what was decided
//	ParseName, ParseContentType                     what may be declared of a file
//	Matches                                         whether the content is what was declared
//	Disposition, ServedAs                           how it is handed to a browser
//
// Who may not read a file is told that there is none: ErrNotFound.
package file
