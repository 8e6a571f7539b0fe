package main

import (
	"math"
	"slices"
)

// sample is one value a round.
type sample []float64

// median is the middle value, or the mean of the two in the middle; NaN of nothing.
func (s sample) median() float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// percentile is the smallest value that p percent of all are not above (the
// nearest rank); NaN of nothing.
func (s sample) percentile(p float64) float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s))
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[max(rank, 1)-1]
}

// over divides round by round.
func (s sample) over(by sample) sample {
	ratios := make(sample, min(len(s), len(by)))
	for i := range ratios {
		ratios[i] = s[i] / by[i]
	}
	return ratios
}

// point is what something took at a size.
type point struct{ size, value float64 }

// exponent is the power of the size that the values grow with: the slope of the
// least squares in logarithms. NaN of fewer than two sizes.
func exponent(points []point) float64 {
	var n, sumX, sumY, sumXX, sumXY float64
	for _, p := range points {
		x, y := math.Log(p.size), math.Log(p.value)
		n, sumX, sumY, sumXX, sumXY = n+1, sumX+x, sumY+y, sumXX+x*x, sumXY+x*y
	}
	spread := n*sumXX - sumX*sumX
	if spread == 0 {
		return math.NaN()
	}
	return (n*sumXY - sumX*sumY) / spread
}
