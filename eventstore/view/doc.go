// Package view shows operators the events of one service's log.
//
//	EventService of the gateway ─┐
//	                             ├─▶ EventViewService: Handler ─▶ log: backwards, or following it
//	muster events ───────────────┘        │                        │
//	                                      │                        ▼ events, sealed
//	                                      │                  seal.Codec.Reveal, with this service's keys
//	                                      ▼                        │
//	                         what is personal was asked for? ◀─────┘
//	                           first EventsDisclosed into the log, then the answer
//
// Who may ask stands in the proto; who may see what is personal, the caller of a
// request says. What cannot be recorded is not shown. A record's own origin is
// left out while it is watched: who watches would else record that they were shown
// their own record, for ever.
package view
