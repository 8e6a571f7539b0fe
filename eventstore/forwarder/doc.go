// Package forwarder carries a log to the broker. It stands between postgres,
// which says what is new, and broker, which takes it.
//
//	lead ──▶ checkpoint ──▶ read a page ──▶ publish, wait for all confirms ──▶ save
//	  ▲                          ▲  │ nothing new: wait for a NOTIFY or 100 ms   │
//	  │ lead lost                └──┴────────────────────────────────────────────┘
//	  └── wait behind the one that has it
//
// One process forwards a log at a time, the others wait for its lead. The
// checkpoint moves only past events that the broker has confirmed, so none is
// skipped, and after a fault some come twice: projections skip those by their
// version. Only what no queue has wanted for 5 seconds is passed over, so that
// it does not hold up the rest: who wants it later finds it in the log. A
// process that has lost its lead without knowing can only repeat events that its
// successor publishes as well, in the same order.
package forwarder
