package e2e_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The README's curls lead from nothing to a signed-in user with an avatar, as they
// stand there.
func TestReadmeCurls(t *testing.T) {
	s := shared(t)
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	var calls []string
	curls := 0
	for _, block := range blocks {
		if strings.Contains(block[1], "curl ") {
			calls = append(calls, block[1])
			curls += strings.Count(block[1], "curl ")
		}
	}
	if curls < 5 {
		t.Fatalf("the README has %d curls", curls)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	text := strings.ReplaceAll(strings.Join(calls, "\n"), "http://127.0.0.1:8080", s.url)
	script := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", text)
	script.Dir = "../.."
	output, err := script.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	said := string(output)
	for _, want := range []string{`"signInReady":true`, `"username":"ada"`, `"email":"ada@example.org"`, `"avatarUrl":"` + s.url + `/avatars/`, "image/jpeg"} {
		if !strings.Contains(strings.ReplaceAll(said, " ", ""), want) {
			t.Errorf("no %s in\n%s", want, said)
		}
	}
	if strings.Contains(said, `"code"`) {
		t.Errorf("a call was refused:\n%s", said)
	}
}

// Every file that the documents point to is there.
func TestDocumentsPointToFilesThatExist(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	var documents []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/adr/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		documents = append(documents, found...)
	}
	links := 0
	for _, document := range documents {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range regexp.MustCompile(`\]\(([^)#]+)[^)]*\)`).FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(link[1], "://") {
				continue
			}
			links++
			if _, err := os.Stat(filepath.Join(filepath.Dir(document), filepath.FromSlash(link[1]))); err != nil {
				t.Errorf("%s: %v", document, err)
			}
		}
	}
	if links < 20 {
		t.Errorf("found %d links only", links)
	}
}
