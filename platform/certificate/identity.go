package certificate

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"
)

const trustDomain = "muster"

var serviceName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)

// ErrNotTheService means that the other end has a good certificate, but not that
// of the service it should be.
var ErrNotTheService = errors.New("certificate: the other end is another service")

// Identity is a service's certificate with its key, and the authority that it trusts.
type Identity struct {
	service     string
	certificate tls.Certificate
	roots       *x509.CertPool
}

// Load reads ca.pem, <service>.pem and <service>.key from dir.
func Load(dir, service string) (Identity, error) {
	identity, err := load(dir, service)
	if err != nil {
		return Identity{}, fmt.Errorf("load certificate of %s: %w", service, err)
	}
	return identity, nil
}

func load(dir, service string) (Identity, error) {
	unlock, err := lockShared(dir)
	if err != nil {
		return Identity{}, err
	}
	defer unlock()
	authority, err := os.ReadFile(file(dir, authorityName, ".pem"))
	if err != nil {
		return Identity{}, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return Identity{}, fmt.Errorf("%s.pem holds no certificate", authorityName)
	}
	pair, err := tls.LoadX509KeyPair(file(dir, service, ".pem"), file(dir, service, ".key"))
	if err != nil {
		return Identity{}, err
	}
	if name := named(pair.Leaf); name != service {
		return Identity{}, fmt.Errorf("%s.pem names %q, not %s", service, name, identityURI(service))
	}
	return Identity{service: service, certificate: pair, roots: roots}, nil
}

// Service is the name.
func (i Identity) Service() string { return i.service }

// ServerTLS is for a server that services alone may call: the other end has to
// show a certificate of the authority that names a service.
func (i Identity) ServerTLS() *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{i.certificate},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    i.roots,
		NextProtos:   []string{"h2"},
		VerifyConnection: func(state tls.ConnectionState) error {
			if CallerOf(&state) == "" {
				return ErrNotTheService
			}
			return nil
		},
	}
}

// ClientTLS is for a client of one service, at whatever address: the other end
// has to show that service's certificate.
func (i Identity) ClientTLS(service string) *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{i.certificate},
		RootCAs:      i.roots,
		ServerName:   hostName(service),
		NextProtos:   []string{"h2"},
		VerifyConnection: func(state tls.ConnectionState) error {
			if CallerOf(&state) != service {
				return fmt.Errorf("%w: %s was meant", ErrNotTheService, service)
			}
			return nil
		},
	}
}

// CallerOf names the service at the other end of a connection; "" if it has
// shown no verified certificate of a service.
func CallerOf(state *tls.ConnectionState) string {
	if state == nil || len(state.VerifiedChains) == 0 || len(state.PeerCertificates) == 0 {
		return ""
	}
	return named(state.PeerCertificates[0])
}

// named reads the service's name. Exactly one URI is allowed, as the SPIFFE
// X.509-SVID specification has it (section 2): with two, the reader chooses.
func named(leaf *x509.Certificate) string {
	if leaf == nil || leaf.IsCA || len(leaf.URIs) != 1 {
		return ""
	}
	name := strings.TrimPrefix(leaf.URIs[0].Path, "/")
	if !serviceName.MatchString(name) || leaf.URIs[0].String() != identityURI(name).String() {
		return ""
	}
	return name
}

func identityURI(service string) *url.URL {
	return &url.URL{Scheme: "spiffe", Host: trustDomain, Path: "/" + service}
}

func hostName(service string) string { return service + "." + trustDomain + ".internal" }
