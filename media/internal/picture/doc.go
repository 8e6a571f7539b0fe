// Package picture makes avatars of whatever people upload.
//
//	raw bytes ─▶ kind by content ─▶ headers: pixels, memory ─▶ queue ─▶ decode ─▶ reduce, scale ─▶ upright ─▶ JPEG
//	                    │                     │                  │         │
//	              ErrNotAPicture         ErrTooLarge     *OverloadedError  ErrNotAPicture
//
// JPEG, PNG, GIF and WebP are told by their first bytes; names and content types
// count for nothing. What leaves is made anew from pixels, so that no metadata,
// and no other file that hid behind or inside the picture, leaves with it. Of an
// animation the first frame is taken, and only that is decoded.
//
// A picture's headers tell what its decoding allocates at most: up to 600 MB for
// a progressive CMYK JPEG of 25 million pixels, 40 MB for a photo of 12. The pool
// lets decodings begin only while the sum stays within Config.Memory, whatever
// the number of workers. Go collects garbage late, so the process may hold up to
// twice that; GOMEMLIMIT keeps it closer. Who waits in the queue holds the bytes
// of a request, 5 MiB at most.
package picture
