// Package panicking makes errors of panics, for code that an event is handed to:
// one that it cannot cope with is parked, rather than to end the process at each
// start anew. seal and projection use it.
package panicking

import (
	"fmt"
	"runtime"
	"strings"
)

// Error is a panic. It says where that was, and not what was said there, which
// may quote the event.
type Error struct {
	// Place is the function that panicked, with its file's name and line.
	Place string
}

// Error names the place.
func (e *Error) Error() string { return "the code panics in " + e.Place }

// Caught turns a panic of the function that defers it into its error.
func Caught(err *error) {
	if recover() != nil {
		*err = &Error{Place: place()}
	}
}

// depth is how far below the panic its place is looked for.
const depth = 32

// place is the first frame below the panic that is not the runtime's.
func place() string {
	callers := make([]uintptr, depth)
	frames := runtime.CallersFrames(callers[:runtime.Callers(0, callers)])
	within := false
	for {
		frame, more := frames.Next()
		switch {
		case frame.Function == "runtime.gopanic":
			within = true
		case within && !strings.HasPrefix(frame.Function, "runtime."):
			return fmt.Sprintf("%s (%s:%d)", frame.Function[strings.LastIndex(frame.Function, "/")+1:], frame.File[strings.LastIndex(frame.File, "/")+1:], frame.Line)
		}
		if !more {
			return "a place unknown"
		}
	}
}
