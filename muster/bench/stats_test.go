package main

import (
	"math"
	"testing"
)

func TestMedianAndPercentilesAreOfTheSortedValues(t *testing.T) {
	t.Parallel()
	odd, even := sample{9, 1, 5}, sample{4, 1, 3, 2}
	if odd.median() != 5 || even.median() != 2.5 {
		t.Errorf("medians %v and %v", odd.median(), even.median())
	}
	var hundred sample
	for i := range 100 {
		hundred = append(hundred, float64(100-i))
	}
	for p, want := range map[float64]float64{0: 1, 50: 50, 99: 99, 100: 100} {
		if got := hundred.percentile(p); got != want {
			t.Errorf("percentile %v is %v, want %v", p, got, want)
		}
	}
	if odd[0] != 9 {
		t.Error("the sample was put into another order: its rounds do not match another's any more")
	}
	if !math.IsNaN(sample(nil).median()) || !math.IsNaN(sample(nil).percentile(50)) {
		t.Error("nothing has a median")
	}
}

func TestRatiosAreTakenRoundByRound(t *testing.T) {
	t.Parallel()
	// The second round was slow for both sides.
	got := sample{2, 20, 3}.over(sample{4, 40, 4})
	if got.median() != 0.5 {
		t.Errorf("the median ratio is %v of %v", got.median(), got)
	}
}

func TestExponentIsThePowerOfTheSize(t *testing.T) {
	t.Parallel()
	for _, power := range []float64{0, 0.5, 1, 2} {
		var points []point
		for _, size := range []float64{1e4, 1e5, 1e6} {
			points = append(points, point{size, 3 * math.Pow(size, power)})
		}
		if got := exponent(points); math.Abs(got-power) > 1e-9 {
			t.Errorf("exponent %v, want %v", got, power)
		}
	}
	if !math.IsNaN(exponent([]point{{1, 1}})) {
		t.Error("one size has an exponent")
	}
}
