package eventlog

import "time"

// With changes how long a follower hears nothing, and how many follow at most.
func (h *Handler) With(heartbeat time.Duration, followers int) *Handler {
	h.heartbeat, h.followers = heartbeat, make(chan struct{}, followers)
	return h
}
