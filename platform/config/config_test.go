package config_test

import (
	"bytes"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/muster-id/muster/platform/config"
	"github.com/muster-id/muster/platform/secret"
)

type settings struct {
	Address     string         `env:"ADDRESS" envDefault:"127.0.0.1:0" desc:"where to listen"`
	DatabaseURL secret.String  `env:"DATABASE_URL,required" desc:"URL of the run-time role"`
	Pepper      secret.String  `env:"PEPPER" envDefault:"default-pepper" desc:"key of the reservations"`
	Timeout     time.Duration  `env:"TIMEOUT" envDefault:"10s" desc:"of a call"`
	LogLevel    slog.Level     `env:"LOG_LEVEL" envDefault:"info" desc:"least level of a log line"`
	Proxies     []netip.Prefix `env:"PROXIES" desc:"trusted proxies"`
	Broker      struct {
		URL secret.String `env:"URL" desc:"AMQP URL"`
	} `envPrefix:"BROKER_"`
}

func TestEnvironmentWinsOverFileOverDefault(t *testing.T) {
	t.Parallel()
	file := write(t, `
# shared by all services
MUSTER_IDENTITY_ADDRESS = 127.0.0.1:7001
MUSTER_IDENTITY_TIMEOUT="3s"
MUSTER_GATEWAY_ANYTHING=1
`)
	var got settings
	err := config.Load("identity", &got, file, []string{
		"MUSTER_IDENTITY_DATABASE_URL=postgres://a:b=c@d/e",
		"MUSTER_IDENTITY_TIMEOUT=4s",
		"MUSTER_IDENTITY_PROXIES=10.0.0.0/8,fd00::/8",
		"MUSTER_IDENTITY_BROKER_URL=amqp://x",
		"MUSTER_GATEWAY_OTHER=1", "PATH=/bin", "MALFORMED",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := settings{
		Address:     "127.0.0.1:7001",
		DatabaseURL: secret.New("postgres://a:b=c@d/e"),
		Pepper:      secret.New("default-pepper"),
		Timeout:     4 * time.Second,
		LogLevel:    slog.LevelInfo,
		Proxies:     []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")},
	}
	want.Broker.URL = secret.New("amqp://x")
	if diff := cmp.Diff(want, got, cmp.Comparer(secret.String.Equal), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

func TestEveryFaultIsNamedAtOnce(t *testing.T) {
	t.Parallel()
	err := config.Load("identity", &settings{}, "", []string{
		"MUSTER_IDENTITY_TIMEOUT=soon",
		"MUSTER_IDENTITY_LOG_LEVEL=loud",
		"MUSTER_IDENTITY_LISTN=x",
		"MUSTER_IDENTITY_PEPPER_FILE=/does/not/exist",
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		"MUSTER_IDENTITY_TIMEOUT", "MUSTER_IDENTITY_LOG_LEVEL", "MUSTER_IDENTITY_LISTN is not a setting",
		"MUSTER_IDENTITY_PEPPER_FILE", "MUSTER_IDENTITY_DATABASE_URL is required",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not named in:\n%v", want, err)
		}
	}
}

func TestASecretMayLieInAFileOfItsOwn(t *testing.T) {
	t.Parallel()
	file := write(t, "postgres://from-a-file\n")
	var got settings
	if err := config.Load("identity", &got, "", []string{"MUSTER_IDENTITY_DATABASE_URL_FILE=" + file}); err != nil {
		t.Fatal(err)
	}
	if got.DatabaseURL.Reveal() != "postgres://from-a-file" {
		t.Error("the file's text was not taken, or not trimmed")
	}
	both := []string{"MUSTER_IDENTITY_DATABASE_URL=x", "MUSTER_IDENTITY_DATABASE_URL_FILE=" + file}
	if err := config.Load("identity", &got, "", both); err == nil || !strings.Contains(err.Error(), "both set") {
		t.Errorf("both at once: %v", err)
	}
	for name, c := range map[string]struct{ inFile, inEnvironment, want string }{
		"a text over a path": {"MUSTER_IDENTITY_DATABASE_URL_FILE=/does/not/exist", "MUSTER_IDENTITY_DATABASE_URL=x", "x"},
		"a path over a text": {"MUSTER_IDENTITY_DATABASE_URL=x", "MUSTER_IDENTITY_DATABASE_URL_FILE=" + file, "postgres://from-a-file"},
		"a path over a path": {"MUSTER_IDENTITY_DATABASE_URL_FILE=/does/not/exist", "MUSTER_IDENTITY_DATABASE_URL_FILE=" + file, "postgres://from-a-file"},
	} {
		var got settings
		if err := config.Load("identity", &got, write(t, c.inFile), []string{c.inEnvironment}); err != nil || got.DatabaseURL.Reveal() != c.want {
			t.Errorf("%s: the environment does not win: %v", name, err)
		}
	}
	plain := []string{"MUSTER_IDENTITY_DATABASE_URL=x", "MUSTER_IDENTITY_ADDRESS_FILE=" + file}
	if err := config.Load("identity", &got, "", plain); err == nil {
		t.Error("a setting that is no secret was read from a file")
	}
}

func TestAFileWithAWrongLineIsRefusedWithoutShowingIt(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"no equals sign": "MUSTER_IDENTITY_DATABASE_URL hunter2",
		"another name":   "DATABASE_URL=hunter2",
		"twice":          "MUSTER_IDENTITY_PEPPER=hunter2\nMUSTER_IDENTITY_PEPPER=hunter2",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := config.Load("identity", &settings{}, write(t, text), []string{"MUSTER_IDENTITY_DATABASE_URL=x"})
			if err == nil || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v", err)
			}
		})
	}
	if err := config.Load("identity", &settings{}, "/does/not/exist", nil); err == nil {
		t.Error("a missing file was accepted")
	}
}

func TestHelpListsEverySettingAndNoSecret(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := config.Help(&out, "identity", &settings{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"MUSTER_IDENTITY_ADDRESS ", "127.0.0.1:0", "where to listen", "(required)", "MUSTER_IDENTITY_BROKER_URL ", "MUSTER_IDENTITY_PEPPER_FILE",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "default-pepper") {
		t.Error("a secret's default is shown")
	}
	column := strings.Index(out.String(), "DEFAULT")
	for line := range strings.Lines(out.String()) {
		if line[column-1] != ' ' || line[column] == ' ' {
			t.Errorf("the columns are not aligned:\n%s", out.String())
			break
		}
	}
}

func write(t *testing.T, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
