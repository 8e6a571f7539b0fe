package certificate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/muster-id/muster/platform/durable"
)

const (
	authorityValidity = 10 * 365 * 24 * time.Hour
	leafValidity      = 365 * 24 * time.Hour
	renewBelow        = 30 * 24 * time.Hour
	// clockSkew lets a machine whose clock is a little behind use a new certificate.
	clockSkew = 5 * time.Minute

	authorityName = "ca"
)

// MakeAuthority makes what is missing in dir: the authority, and a certificate
// for each service, which is made anew when it is near its end, broken, or of
// another authority. It may be repeated, and by several processes at once.
func MakeAuthority(dir string, services ...string) error {
	if err := makeAuthority(dir, services, time.Now()); err != nil {
		return fmt.Errorf("make certificates in %s: %w", dir, err)
	}
	return nil
}

func makeAuthority(dir string, services []string, now time.Time) error {
	for _, service := range services {
		if !serviceName.MatchString(service) || service == authorityName {
			return fmt.Errorf("%q cannot be a service's name: lower-case letters, digits and - only", service)
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	unlock, err := lockExclusive(dir)
	if err != nil {
		return err
	}
	defer unlock()
	authority, err := openAuthority(dir, now)
	if err != nil {
		return err
	}
	for _, service := range services {
		if authority.vouchesFor(dir, service, now) {
			continue
		}
		if err := authority.issue(dir, service, now); err != nil {
			return fmt.Errorf("issue for %s: %w", service, err)
		}
	}
	return nil
}

type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// openAuthority reads the authority, or makes one. One that cannot be read is a
// fault and not replaced: all services would stop trusting one another.
func openAuthority(dir string, now time.Time) (*authority, error) {
	pair, err := tls.LoadX509KeyPair(file(dir, authorityName, ".pem"), file(dir, authorityName, ".key"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Stat(file(dir, authorityName, ".pem")); err == nil {
			return nil, fmt.Errorf("%s.pem is there without its key: these certificates are somebody else's to renew", authorityName)
		}
		return newAuthority(dir, now)
	case err != nil:
		return nil, fmt.Errorf("read authority: %w", err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !pair.Leaf.IsCA {
		return nil, fmt.Errorf("read authority: %s.pem is not an ECDSA authority", authorityName)
	}
	if pair.Leaf.NotAfter.Sub(now) < renewBelow {
		return newAuthority(dir, now)
	}
	return &authority{certificate: pair.Leaf, key: key}, nil
}

func newAuthority(dir string, now time.Time) (*authority, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "Muster services"},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.Add(authorityValidity),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	certificate, err := sign(dir, authorityName, template, template, key, key)
	if err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	return &authority{certificate: certificate, key: key}, nil
}

// vouchesFor tells whether a service's certificate is there, whole, of this
// authority and good for a while.
func (a *authority) vouchesFor(dir, service string, now time.Time) bool {
	pair, err := tls.LoadX509KeyPair(file(dir, service, ".pem"), file(dir, service, ".key"))
	if err != nil || named(pair.Leaf) != service || pair.Leaf.NotAfter.Sub(now) < renewBelow {
		return false
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.certificate)
	_, err = pair.Leaf.Verify(x509.VerifyOptions{
		Roots: roots, CurrentTime: now, DNSName: hostName(service), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	return err == nil
}

func (a *authority) issue(dir, service string, now time.Time) error {
	until := now.Add(leafValidity)
	if until.After(a.certificate.NotAfter) {
		until = a.certificate.NotAfter
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: service},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              until,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		URIs:                  []*url.URL{identityURI(service)},
		DNSNames:              []string{hostName(service), "localhost"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	_, err = sign(dir, service, template, a.certificate, key, a.key)
	return err
}

// sign makes a certificate and writes it with its key.
func sign(dir, name string, template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	// The key first: a certificate without its key is taken for somebody else's.
	if err := write(file(dir, name, ".key"), &pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}, 0o600); err != nil {
		return nil, err
	}
	if err := write(file(dir, name, ".pem"), &pem.Block{Type: "CERTIFICATE", Bytes: der}, 0o644); err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func write(path string, block *pem.Block, mode fs.FileMode) error {
	return durable.Write(path, pem.EncodeToMemory(block), mode)
}

func file(dir, name, extension string) string { return filepath.Join(dir, name+extension) }
