package operator

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/muster-id/muster/muster/internal/stackfile"
	"github.com/muster-id/muster/platform/devstack"
)

// services are those that have projections.
var services = []string{"identity", "credentials", "media"}

// keepers are those of them that keep an event log, which has their name.
var keepers = []string{"identity", "media"}

// ErrNothingRuns means that no `muster up` has the data directory.
var ErrNothingRuns = errors.New("nothing runs there")

// Places are where the services are, and what to show them.
type Places struct {
	// Certificates is the folder with ca.pem, operator.pem and operator.key.
	Certificates string
	// URLs of identity, credentials and media, by their names; https.
	URLs map[string]string
}

// At gives those of the `muster up` that runs in a data directory.
func At(dir string) (Places, error) {
	holder, gone, err := devstack.Holder(dir)
	if err != nil {
		return Places{}, err
	}
	file, err := stackfile.Read(dir)
	switch {
	case holder == 0 || gone: // a killed one leaves its file
		return Places{}, fmt.Errorf("data directory %s: %w: start it with `muster up`, or name another with --data", dir, ErrNothingRuns)
	case errors.Is(err, fs.ErrNotExist):
		return Places{}, fmt.Errorf("data directory %s: process %d is still starting, or stopping: try again in a moment", dir, holder)
	case err != nil:
		return Places{}, err
	case file.Certificates == "":
		return Places{}, fmt.Errorf("data directory %s: process %d is of an older version, without a certificate for operators: start it anew", dir, holder)
	}
	places := Places{Certificates: file.Certificates, URLs: make(map[string]string, len(services))}
	for _, service := range services {
		places.URLs[service] = "https://" + file.Services[service].Address
	}
	return places, nil
}
