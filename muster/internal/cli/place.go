package cli

import (
	"cmp"
	"errors"
	"slices"

	"github.com/muster-id/muster/muster/internal/operator"
)

// place says where the services are that an operator works on.
type place struct {
	Data         string `help:"Data directory of the \"up\" that runs; .muster if nothing else is given." placeholder:"DIR"`
	Certificates string `help:"Folder with ca.pem, operator.pem and operator.key, where no \"up\" runs." env:"MUSTER_OPERATOR_CERTIFICATES" placeholder:"DIR"`
	Identity     string `help:"Address of identity." env:"MUSTER_OPERATOR_IDENTITY_URL" placeholder:"URL"`
	Credentials  string `help:"Address of credentials." env:"MUSTER_OPERATOR_CREDENTIALS_URL" placeholder:"URL"`
	Media        string `help:"Address of media." env:"MUSTER_OPERATOR_MEDIA_URL" placeholder:"URL"`
}

// defaultData is where `muster up` keeps its data.
const defaultData = ".muster"

// errHalfAPlace refuses some addresses without the others.
var errHalfAPlace = errors.New("--certificates, --identity, --credentials and --media go together: give all of them, or --data")

// byAddress tells whether addresses are given. A data directory that is named goes
// before them, as they may stand in the environment.
func (p place) byAddress() bool {
	return p.Data == "" && cmp.Or(p.addresses()...) != ""
}

// addresses are all that is needed where no data directory is.
func (p place) addresses() []string {
	return []string{p.Certificates, p.Identity, p.Credentials, p.Media}
}

// Validate refuses some addresses without the others.
func (p place) Validate() error {
	if p.byAddress() && slices.Contains(p.addresses(), "") {
		return errHalfAPlace
	}
	return nil
}

// open finds the services.
func (p place) open() (*operator.Client, error) {
	if p.byAddress() {
		return operator.Open(operator.Places{
			Certificates: p.Certificates,
			URLs:         map[string]string{"identity": p.Identity, "credentials": p.Credentials, "media": p.Media},
		})
	}
	places, err := operator.At(cmp.Or(p.Data, defaultData))
	if err != nil {
		return nil, err
	}
	return operator.Open(places)
}

// again is what a hint has to add to a command so that it reaches the same place.
func (p place) again() string {
	if p.Data == "" || p.Data == defaultData {
		return ""
	}
	return " --data " + p.Data
}
