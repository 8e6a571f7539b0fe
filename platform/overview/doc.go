// Package overview shows the events of several logs as one, to those who look from
// outside: the gateway for a person, the command line for an operator.
//
//	              ┌─▶ EventViewService of identity ─┐
//	List, Watch ──┤                                 ├─▶ one list, the newest first; one stream
//	              └─▶ EventViewService of media ────┘       and Places: where each log goes on
//
// A service records what it shows of what is personal, so List finds out first, with
// events that have nothing personal, how many of each log a page takes, and asks for
// so many then.
package overview
