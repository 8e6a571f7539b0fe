package config

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/caarlos0/env/v11"
)

const (
	house      = "MUSTER_"
	fileSuffix = "_FILE"
	// maxSecret bounds a secret that is read from a file.
	maxSecret = 64 << 10
)

// Load fills target, a pointer to a struct, with the settings of a service:
// defaults, then file (none if empty), then environ as os.Environ gives it. A
// setting of the service that target does not know is a fault. The error names
// every fault, one a line.
func Load(service string, target any, file string, environ []string) error {
	values := map[string]string{}
	var faults []error
	if file != "" {
		read, err := readFile(file)
		if err != nil {
			return fmt.Errorf("settings of %s: %w", service, err)
		}
		values = read
	}
	given := map[string]string{}
	for _, pair := range environ {
		if name, value, ok := strings.Cut(pair, "="); ok {
			given[name] = value
		}
	}
	settings := list(service, target)
	overlay(settings, values, given)
	faults = append(faults, readSecrets(settings, values)...)
	faults = append(faults, unknown(service, settings, values)...)
	err := env.ParseWithOptions(target, env.Options{Environment: values, Prefix: prefix(service)})
	faults = append(faults, named(settings, err)...)
	if len(faults) > 0 {
		return fmt.Errorf("settings of %s:\n%w", service, errors.Join(faults...))
	}
	return nil
}

// overlay puts the environment over the file's values. A secret that it gives,
// either way, wins over both ways of the file.
func overlay(settings []setting, values, environ map[string]string) {
	for _, s := range settings {
		_, text := environ[s.key]
		_, path := environ[s.key+fileSuffix]
		if s.secret && (text || path) {
			delete(values, s.key)
			delete(values, s.key+fileSuffix)
		}
	}
	maps.Copy(values, environ)
}

// readSecrets replaces each X_FILE by the X that the file holds.
func readSecrets(settings []setting, values map[string]string) (faults []error) {
	for _, s := range settings {
		path, given := values[s.key+fileSuffix]
		if !s.secret || !given {
			continue
		}
		delete(values, s.key+fileSuffix)
		if _, twice := values[s.key]; twice {
			faults = append(faults, fmt.Errorf("%s and %s%s are both set", s.key, s.key, fileSuffix))
			continue
		}
		text, err := os.ReadFile(path)
		if err == nil && len(text) > maxSecret {
			err = fmt.Errorf("larger than %d bytes", maxSecret)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s%s: %w", s.key, fileSuffix, err))
			values[s.key] = "-" // so that it is not called missing as well
			continue
		}
		values[s.key] = strings.TrimRight(string(text), "\r\n")
	}
	return faults
}

// unknown finds misspelt settings, which would otherwise be defaults in silence.
func unknown(service string, settings []setting, values map[string]string) (faults []error) {
	for name := range values {
		known := slices.ContainsFunc(settings, func(s setting) bool { return s.key == name })
		if !known && strings.HasPrefix(name, prefix(service)) {
			faults = append(faults, fmt.Errorf("%s is not a setting; --help lists them", name))
		}
	}
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return faults
}

// named gives the library's faults the setting's name in place of the field's,
// and hides what was read for a secret.
func named(settings []setting, err error) []error {
	if err == nil {
		return nil
	}
	var all env.AggregateError
	if !errors.As(err, &all) {
		return []error{err}
	}
	faults := make([]error, len(all.Errors))
	for i, fault := range all.Errors {
		faults[i] = fault
		var (
			missing env.VarIsNotSetError
			empty   env.EmptyVarError
			parse   env.ParseError
		)
		switch {
		case errors.As(fault, &missing):
			faults[i] = fmt.Errorf("%s is required", missing.Key)
		case errors.As(fault, &empty):
			faults[i] = fmt.Errorf("%s must not be empty", empty.Key)
		case errors.As(fault, &parse):
			at := slices.IndexFunc(settings, func(s setting) bool { return s.field == parse.Name && s.kind == parse.Type })
			switch {
			case at >= 0 && settings[at].secret:
				faults[i] = fmt.Errorf("%s cannot be read", settings[at].key)
			case at >= 0:
				faults[i] = fmt.Errorf("%s: %w", settings[at].key, parse.Err)
			}
		}
	}
	return faults
}

// readFile reads KEY=VALUE lines; empty ones and those that begin with # are
// passed over, and one pair of quotes around a value is taken off. Nothing is
// expanded. Services may share a file.
func readFile(path string) (map[string]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	var faults []error
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		name = strings.TrimSpace(name)
		_, twice := values[name]
		switch {
		case !ok || !strings.HasPrefix(name, house):
			// The line itself may hold a secret.
			faults = append(faults, fmt.Errorf("%s:%d: not a line %s<SERVICE>_<KEY>=VALUE", path, i+1, house))
			continue
		case twice:
			faults = append(faults, fmt.Errorf("%s:%d: %s is there twice", path, i+1, name))
		}
		values[name] = unquote(strings.TrimSpace(value))
	}
	return values, errors.Join(faults...)
}

func unquote(value string) string {
	if len(value) >= 2 && (value[0] == '"' || value[0] == '\'') && value[len(value)-1] == value[0] {
		return value[1 : len(value)-1]
	}
	return value
}

func prefix(service string) string {
	return house + strings.ToUpper(strings.ReplaceAll(service, "-", "_")) + "_"
}

// setting is one field of a Config.
type setting struct {
	key         string // with its prefix
	field       string
	kind        reflect.Type
	standard    string
	description string
	required    bool
	secret      bool
}
