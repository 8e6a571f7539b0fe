package gateway

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/muster-id/muster/gateway/internal/browser"
	"github.com/muster-id/muster/platform/secret"
)

// Config of the gateway: settings MUSTER_GATEWAY_*.
type Config struct {
	Listen         string         `env:"LISTEN" envDefault:"127.0.0.1:8080" desc:"Address of the public port"`
	TLSCertificate string         `env:"TLS_CERTIFICATE" desc:"File of the public certificate, PEM; with TLS_KEY it turns TLS on"`
	TLSKey         string         `env:"TLS_KEY" desc:"File of its private key, PEM"`
	AllowPlaintext bool           `env:"ALLOW_PLAINTEXT" desc:"Serve without TLS beyond loopback, to the proxies of TRUSTED_PROXIES, which have TLS"`
	TrustedProxies []netip.Prefix `env:"TRUSTED_PROXIES" desc:"Networks of proxies whose X-Forwarded headers are believed, separated by commas"`
	AllowedOrigins []string       `env:"ALLOWED_ORIGINS" desc:"Other origins whose pages may call, separated by commas; browsers send the cookie for those of our own site alone"`

	IdentityURL     string        `env:"IDENTITY_URL,required" desc:"Where identity listens, https://host:port"`
	CredentialsURL  string        `env:"CREDENTIALS_URL,required" desc:"Where credentials listens, https://host:port"`
	MediaURL        string        `env:"MEDIA_URL,required" desc:"Where media listens, https://host:port"`
	Certificates    string        `env:"CERTIFICATES,required" desc:"Folder with ca.pem, gateway.pem and gateway.key"`
	UpstreamTimeout time.Duration `env:"UPSTREAM_TIMEOUT" envDefault:"5s" desc:"How long one call of another service may take"`
	MetricsListen   string        `env:"METRICS_LISTEN" desc:"Address of /metrics for Prometheus, HTTP without a password; empty for none"`

	ConsistencyKey secret.String `env:"CONSISTENCY_KEY,required" desc:"Signs consistency tokens and seals page tokens: 32 bytes or more, the same for all gateways"`
	TokenIssuer    string        `env:"TOKEN_ISSUER,required" desc:"Issuer that access tokens must name"`
	TokenAudience  string        `env:"TOKEN_AUDIENCE,required" desc:"Audience that access tokens must name"`
}

// checked is what Config means, after all its faults were looked for.
type checked struct {
	origins []browser.Origin
	tls     *tls.Config
}

// check names all faults at once that reading the settings cannot find.
func (c Config) check() (checked, error) {
	var (
		result checked
		faults []error
	)
	for _, text := range c.AllowedOrigins {
		origin, err := browser.ParseOrigin(text)
		if err != nil {
			faults = append(faults, fmt.Errorf("MUSTER_GATEWAY_ALLOWED_ORIGINS: %w", err))
			continue
		}
		result.origins = append(result.origins, origin)
	}
	switch {
	case c.TLSCertificate != "" && c.TLSKey != "":
		pair, err := tls.LoadX509KeyPair(c.TLSCertificate, c.TLSKey)
		if err != nil {
			faults = append(faults, fmt.Errorf("MUSTER_GATEWAY_TLS_CERTIFICATE, MUSTER_GATEWAY_TLS_KEY: %w", err))
		}
		result.tls = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	case c.TLSCertificate != "" || c.TLSKey != "":
		faults = append(faults, errors.New("MUSTER_GATEWAY_TLS_CERTIFICATE and MUSTER_GATEWAY_TLS_KEY belong together: give both or neither"))
	case !c.AllowPlaintext && !onLoopback(c.Listen):
		faults = append(faults, fmt.Errorf("MUSTER_GATEWAY_LISTEN=%s would take passwords in clear from other machines: "+
			"set MUSTER_GATEWAY_TLS_CERTIFICATE and MUSTER_GATEWAY_TLS_KEY, or MUSTER_GATEWAY_ALLOW_PLAINTEXT=true behind a proxy that has TLS", c.Listen))
	case c.AllowPlaintext && !onLoopback(c.Listen) && len(c.TrustedProxies) == 0:
		// Only a proxy that is believed can say that the browser has TLS, and
		// without it the cookie would go without Secure.
		faults = append(faults, errors.New("MUSTER_GATEWAY_ALLOW_PLAINTEXT beyond loopback needs MUSTER_GATEWAY_TRUSTED_PROXIES: "+
			"the proxy that has TLS says so in X-Forwarded-Proto"))
	}
	if c.UpstreamTimeout <= 0 {
		faults = append(faults, errors.New("MUSTER_GATEWAY_UPSTREAM_TIMEOUT has to be more than 0"))
	}
	return result, errors.Join(faults...)
}

// onLoopback tells whether only this machine can reach an address. A name other
// than localhost may mean anything, so it is not.
func onLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}
