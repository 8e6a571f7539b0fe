package panicking_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/muster-id/muster/eventstore/internal/panicking"
)

type cannot struct{}

func (cannot) cope(with []string) (err error) {
	defer panicking.Caught(&err)
	return deeper(with)
}

func deeper(with []string) error {
	if with[0] == "canary" {
		panic(with[0])
	}
	return errors.New(with[0])
}

// Where it was is told, so that it can be mended; what was said is not, since it
// may be sealed.
func TestAPanicIsAnErrorThatNamesThePlaceOnly(t *testing.T) {
	t.Parallel()
	for name, with := range map[string][]string{"a panic of its own": {"canary"}, "one of the runtime": nil} {
		err := cannot{}.cope(with)
		var caught *panicking.Error
		if !errors.As(err, &caught) || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), "panicking_test.deeper (panicking_test.go:") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := (cannot{}).cope([]string{"fine"}); err == nil || err.Error() != "fine" {
		t.Errorf("without a panic: %v", err)
	}
}
