package process_test

import (
	"context"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/muster-id/muster/platform/process"
)

type settings struct {
	Word string `env:"WORD,required" desc:"A word"`
}

type service struct{ word string }

func (service) Run(context.Context) error { return nil }
func (service) Addr() string              { return "" }

func build(_ context.Context, s settings, logger *slog.Logger) (service, error) {
	logger.Debug("word", "is", s.Word)
	return service{s.Word}, nil
}

// Settings reach the constructor, and the common ones the logger.
func TestSettingsReachServiceAndLogger(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	made, err := process.New("sample", build).Start(t.Context(), "", []string{"MUSTER_SAMPLE_WORD=hello", "MUSTER_SAMPLE_LOG_LEVEL=DEBUG", "MUSTER_SAMPLE_LOG_FORMAT=text"}, &log)
	if err != nil {
		t.Fatal(err)
	}
	if made.(service).word != "hello" || !strings.Contains(log.String(), "is=hello") {
		t.Errorf("made %v, logged %q", made, log.String())
	}
}

// Every fault of the settings is named at once.
func TestEveryFaultIsNamed(t *testing.T) {
	t.Parallel()
	_, err := process.New("sample", build).Start(t.Context(), "", []string{"MUSTER_SAMPLE_WROD=hello", "MUSTER_SAMPLE_LOG_LEVEL=LOUD"}, io.Discard)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"MUSTER_SAMPLE_WORD", "MUSTER_SAMPLE_WROD", "MUSTER_SAMPLE_LOG_LEVEL"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %s", err, want)
		}
	}
}

// --help ends well, what is wrong does not.
func TestExitStatus(t *testing.T) {
	program := process.New("sample", build)
	stderr := os.Stderr
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	os.Stderr = null
	t.Cleanup(func() { os.Stderr = stderr; null.Close() })
	for want, arguments := range map[int][]string{0: {"--help"}, 2: {"--nothing"}, 1: {}} {
		if got := program.Main(arguments); got != want {
			t.Errorf("%v: status %d, want %d", arguments, got, want)
		}
	}
}
