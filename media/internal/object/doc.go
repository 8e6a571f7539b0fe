// Package object is the seam to S3: the only place that speaks to it.
//
//	app      ─▶ Put, Get, Stat, Head, Copy, Delete          short, bounded, ErrUnavailable
//	browser  ─▶ what PresignGet and PresignPost have signed, without passing through here
//
// The bucket is private and made where it is missing, by Run. An object is
// named by a Ref, whose key says whose it is: files/<owner>/<file>,
// avatars/<owner>/<avatar>, uploads/<owner>/<file>. A form that was given out
// writes below uploads/ only, so that nobody can change a file once it was verified.
package object
