package projection

import "time"

// rateWindow is how many seconds a rate looks back.
const rateWindow = 10

// shortest is the least span, in seconds, that a rate is told of.
const shortest = 0.1

// rate counts what happened in each of the last seconds. It is for one
// goroutine, or under a lock.
type rate struct {
	counts [rateWindow]int64
	// second of each count, in Unix time.
	seconds [rateWindow]int64
	began   time.Time
}

// add counts n more, now.
func (r *rate) add(n int, now time.Time) {
	if r.began.IsZero() {
		r.began = now
	}
	second := now.Unix()
	slot := second % rateWindow
	if r.seconds[slot] != second {
		r.seconds[slot], r.counts[slot] = second, 0
	}
	r.counts[slot] += int64(n)
}

// perSecond is the mean of the last seconds, as far as there were any.
func (r *rate) perSecond(now time.Time) float64 {
	if r.began.IsZero() {
		return 0
	}
	var sum int64
	for i, second := range r.seconds {
		if now.Unix()-second < rateWindow {
			sum += r.counts[i]
		}
	}
	span := min(now.Sub(r.began).Seconds(), rateWindow)
	return float64(sum) / max(span, shortest)
}
