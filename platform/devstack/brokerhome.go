package devstack

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// brokerHome makes a home for RabbitMQ out of links to the installed one, with
// only the applications that it will run, and gives its directory of scripts.
// Erlang looks for each module in all applications, and RabbitMQ brings
// seventy: that is a third of its start. An installation of a layout that is
// not known gives "", and is used as it is.
func brokerHome(program, folder string, plugins ...string) (string, error) {
	installed, err := filepath.EvalSymlinks(program)
	if err != nil {
		return "", fmt.Errorf("lay out RabbitMQ: %w", err)
	}
	installed = filepath.Dir(filepath.Dir(installed)) // home/sbin/rabbitmq-server
	applications, known := brokerApplications(installed, append(plugins, "rabbit", "rabbitmq_prelaunch"))
	if !known {
		return "", nil
	}
	home := filepath.Join(folder, "home")
	if err := os.RemoveAll(home); err != nil {
		return "", fmt.Errorf("lay out RabbitMQ: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(home, "plugins"), 0o755); err != nil {
		return "", fmt.Errorf("lay out RabbitMQ: %w", err)
	}
	links := map[string]string{"sbin": filepath.Join(installed, "sbin"), "escript": filepath.Join(installed, "escript")}
	for _, application := range applications {
		links[filepath.Join("plugins", filepath.Base(application))] = application
	}
	for name, target := range links {
		if err := os.Symlink(target, filepath.Join(home, name)); err != nil {
			return "", fmt.Errorf("lay out RabbitMQ: %w", err)
		}
	}
	return filepath.Join(home, "sbin"), nil
}

// brokerApplications gives the directories of the wanted applications and of
// all that they need, apart from Erlang's own.
func brokerApplications(home string, wanted []string) ([]string, bool) {
	descriptions, _ := filepath.Glob(filepath.Join(home, "plugins", "*", "ebin", "*.app")) // the pattern is right
	archives, _ := filepath.Glob(filepath.Join(home, "plugins", "*.ez"))
	if len(descriptions) == 0 || len(archives) > 0 {
		return nil, false
	}
	byName := map[string]string{}
	for _, description := range descriptions {
		byName[strings.TrimSuffix(filepath.Base(description), ".app")] = description
	}
	needs := regexp.MustCompile(`\{(?:included_|optional_)?applications,\s*\[([^\]]*)\]`)
	var found []string
	for len(wanted) > 0 {
		name := wanted[0]
		wanted = wanted[1:]
		description, ok := byName[name]
		if !ok {
			continue // found already, or Erlang's own
		}
		delete(byName, name)
		text, err := os.ReadFile(description)
		if err != nil {
			return nil, false
		}
		found = append(found, filepath.Dir(filepath.Dir(description)))
		for _, list := range needs.FindAllStringSubmatch(string(text), -1) {
			wanted = append(wanted, strings.FieldsFunc(list[1], func(r rune) bool { return strings.ContainsRune(" ,'\t\r\n", r) })...)
		}
	}
	_, missing := byName["rabbit"]
	return found, !missing
}
