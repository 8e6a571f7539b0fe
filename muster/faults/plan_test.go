package main

import (
	"fmt"
	"slices"
	"testing"
)

func planned(seed uint64, short bool, rounds int) (faults []fault, text string) {
	for round := range plan(seed, short, "") {
		faults = append(faults, round.faults...)
		text += fmt.Sprintln(round)
		if rounds--; rounds == 0 {
			break
		}
	}
	return faults, text
}

// A seed gives the same faults each time, and another one others.
func TestASeedIsAPlan(t *testing.T) {
	t.Parallel()
	_, once := planned(7, false, 60)
	_, again := planned(7, false, 60)
	_, other := planned(8, false, 60)
	if once != again || once == other {
		t.Errorf("seed 7: the same %v; seed 8: another %v", once == again, once != other)
	}
}

// Each pass has every part fail in every way, and RabbitMQ lose its data.
func TestAPassLeavesNothingOut(t *testing.T) {
	t.Parallel()
	for _, short := range []bool{false, true} {
		faults, _ := planned(3, short, 30) // a pass where none joins another
		for _, part := range parts() {
			for _, way := range []string{killed, stopped, restarted, cutOff} {
				if !slices.ContainsFunc(faults, func(f fault) bool { return f.part == part && f.way == way }) {
					t.Errorf("short %v: %s is never %s", short, part, way)
				}
			}
		}
		for _, way := range []string{wiped, young} {
			if !slices.ContainsFunc(faults, func(f fault) bool { return f.part == rabbitmq && f.way == way }) {
				t.Errorf("short %v: RabbitMQ is never %s", short, way)
			}
		}
	}
}
