package operator

import "time"

// Hurry lets the waiting of a client's projections be as short as a test wants.
func (c *Client) Hurry(pause, patience time.Duration) { c.pause, c.patience = pause, patience }
