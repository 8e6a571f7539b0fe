package e2e_test

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The README's curls lead from nothing to a signed-in user, as they stand there.
func TestReadmeCurls(t *testing.T) {
	s := shared(t)
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	var script []string
	curls := 0
	for _, block := range blocks {
		if strings.Contains(block[1], "curl ") {
			script = append(script, block[1])
			curls += strings.Count(block[1], "curl ")
		}
	}
	if curls < 3 {
		t.Fatalf("the README has %d curls", curls)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	text := strings.ReplaceAll(strings.Join(script, "\n"), "http://127.0.0.1:8080", s.url)
	output, err := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", text).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	said := string(output)
	for _, want := range []string{`"signInReady":true`, `"username":"ada"`, `"email":"ada@example.org"`} {
		if !strings.Contains(strings.ReplaceAll(said, " ", ""), want) {
			t.Errorf("no %s in\n%s", want, said)
		}
	}
	if strings.Contains(said, `"code"`) {
		t.Errorf("a call was refused:\n%s", said)
	}
}
