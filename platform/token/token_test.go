package token_test

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/muster-id/muster/platform/secret"
	"github.com/muster-id/muster/platform/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	issuer   = "https://muster.example"
	audience = "muster"
)

var noon = time.Date(2026, 11, 3, 12, 0, 0, 0, time.UTC)

// keys is a KeySource of fixed keys.
type keys map[string]ed25519.PublicKey

func (k keys) Keys(_ context.Context, kid string) (token.PublicKey, error) {
	key, ok := k[kid]
	if !ok {
		return token.PublicKey{}, token.ErrUnknownKey
	}
	return token.PublicKey{ID: kid, Key: key}, nil
}

func key(t testing.TB) (ed25519.PublicKey, ed25519.PrivateKey) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return public, private
}

func claims() token.Claims {
	return token.Claims{
		Subject: "0192", SessionID: "s1", ID: "j1", AccessVersion: 3, Roles: []string{"admin"},
		PasswordChangePending: true, IssuedAt: noon, ExpiresAt: noon.Add(15 * time.Minute),
	}
}

func verifier(source token.KeySource, now time.Time) *token.Verifier {
	return token.NewVerifier(token.VerifierConfig{Issuer: issuer, Audience: audience, Keys: source, Now: func() time.Time { return now }})
}

func TestASignedTokenIsVerified(t *testing.T) {
	t.Parallel()
	public, private := key(t)
	signer := token.NewSigner(token.SignerConfig{Issuer: issuer, Audience: audience, KeyID: "k1", Key: private})
	signed, err := signer.Sign(claims())
	if err != nil {
		t.Fatal(err)
	}
	got, err := verifier(keys{"k1": public}, noon).Verify(t.Context(), signed)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(claims(), got, cmp.Comparer(time.Time.Equal)); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
}

// forged is a good token's content, for tests to spoil.
type forged struct {
	method  jwt.SigningMethod
	header  map[string]any
	claims  jwt.MapClaims
	signKey any
	now     time.Time
	want    error
}

func TestTokensThatAreRefused(t *testing.T) {
	t.Parallel()
	public, private := key(t)
	_, stranger := key(t)
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	source := keys{"k1": public}
	tests := map[string]func(*forged){
		"good":                                   func(f *forged) { f.want = nil },
		"good: a clock that is 30 s behind":      func(f *forged) { f.now, f.want = noon.Add(-30*time.Second), nil },
		"good: typ as a media type":              func(f *forged) { f.header["typ"], f.want = "application/AT+JWT", nil },
		"alg none":                               func(f *forged) { f.method, f.signKey = jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType },
		"HS256 with the public key":              func(f *forged) { f.method, f.signKey = jwt.SigningMethodHS256, []byte(public) },
		"HS256 with the public key in DER":       func(f *forged) { f.method, f.signKey = jwt.SigningMethodHS256, spki },
		"another key under a known kid":          func(f *forged) { f.signKey = stranger },
		"unknown kid":                            func(f *forged) { f.header["kid"] = "k2" },
		"no kid":                                 func(f *forged) { delete(f.header, "kid") },
		"kid of another type":                    func(f *forged) { f.header["kid"] = 1 },
		"typ of another JWT":                     func(f *forged) { f.header["typ"] = "JWT" },
		"no typ":                                 func(f *forged) { delete(f.header, "typ") },
		"critical extension":                     func(f *forged) { f.header["crit"] = []string{"b64"} },
		"other issuer":                           func(f *forged) { f.claims["iss"] = issuer + "/" },
		"no issuer":                              func(f *forged) { delete(f.claims, "iss") },
		"other audience":                         func(f *forged) { f.claims["aud"] = "other" },
		"one audience more":                      func(f *forged) { f.claims["aud"] = []string{audience, "other"} },
		"no audience":                            func(f *forged) { delete(f.claims, "aud") },
		"no subject":                             func(f *forged) { delete(f.claims, "sub") },
		"no session":                             func(f *forged) { delete(f.claims, "sid") },
		"no id":                                  func(f *forged) { delete(f.claims, "jti") },
		"no access version":                      func(f *forged) { delete(f.claims, "ver") },
		"access version of another type":         func(f *forged) { f.claims["ver"] = "3" },
		"no iat":                                 func(f *forged) { delete(f.claims, "iat") },
		"no exp":                                 func(f *forged) { delete(f.claims, "exp") },
		"issued in the future":                   func(f *forged) { f.now = noon.Add(-31 * time.Second) },
		"not good before a time to come":         func(f *forged) { f.claims["nbf"] = noon.Add(31 * time.Second).Unix() },
		"expired this second":                    func(f *forged) { f.now, f.want = noon.Add(15*time.Minute), token.ErrExpired },
		"expired, no skew":                       func(f *forged) { f.now, f.want = noon.Add(15*time.Minute+time.Second), token.ErrExpired },
		"expired and for another audience":       func(f *forged) { f.now = noon.Add(time.Hour); f.claims["aud"] = "other" },
		"larger than 8 KiB":                      func(f *forged) { f.claims["roles"] = []string{strings.Repeat("x", 8<<10)} },
		"expired with a signature of a stranger": func(f *forged) { f.now = noon.Add(time.Hour); f.signKey = stranger },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &forged{
				method:  jwt.SigningMethodEdDSA,
				header:  map[string]any{"typ": "at+jwt", "kid": "k1"},
				signKey: private,
				now:     noon,
				want:    token.ErrInvalid,
				claims: jwt.MapClaims{
					"iss": issuer, "aud": audience, "sub": "0192", "sid": "s1", "jti": "j1", "ver": 3,
					"iat": noon.Unix(), "exp": noon.Add(15 * time.Minute).Unix(),
				},
			}
			spoil(f)
			unsigned := jwt.NewWithClaims(f.method, f.claims)
			unsigned.Header = f.header
			unsigned.Header["alg"] = f.method.Alg()
			signed, err := unsigned.SignedString(f.signKey)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := verifier(source, f.now).Verify(t.Context(), secret.New(signed)); !errors.Is(err, f.want) {
				t.Errorf("got %v, want %v", err, f.want)
			}
		})
	}
}

func TestARefusalDoesNotRepeatTheToken(t *testing.T) {
	t.Parallel()
	public, private := key(t)
	signed := sign(t, private)
	broken := signed[:len(signed)-3] + "!!!"
	_, err := verifier(keys{"k1": public}, noon).Verify(t.Context(), secret.New(broken))
	if !errors.Is(err, token.ErrInvalid) {
		t.Fatalf("got %v", err)
	}
	for _, part := range strings.Split(broken, ".") {
		if strings.Contains(err.Error(), part) {
			t.Errorf("%v holds a part of the token", err)
		}
	}
}

func TestKeysThatCannotBeReadAreNoVerdict(t *testing.T) {
	t.Parallel()
	_, private := key(t)
	source := token.NewRemoteKeys(func(context.Context) ([]byte, error) { return nil, errors.New("refused") }, func() time.Time { return noon })
	_, err := verifier(source, noon).Verify(t.Context(), secret.New(sign(t, private)))
	if !errors.Is(err, token.ErrKeysUnavailable) || errors.Is(err, token.ErrInvalid) {
		t.Errorf("got %v, want ErrKeysUnavailable alone", err)
	}
}

func TestSignRefusesWhatVerifyWould(t *testing.T) {
	t.Parallel()
	_, private := key(t)
	signer := token.NewSigner(token.SignerConfig{Issuer: issuer, Audience: audience, KeyID: "k1", Key: private})
	for name, spoil := range map[string]func(*token.Claims){
		"no subject":           func(c *token.Claims) { c.Subject = "" },
		"no session":           func(c *token.Claims) { c.SessionID = "" },
		"no id":                func(c *token.Claims) { c.ID = "" },
		"expired when issued":  func(c *token.Claims) { c.ExpiresAt = c.IssuedAt },
		"larger than accepted": func(c *token.Claims) { c.Roles = []string{strings.Repeat("x", 8<<10)} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := claims()
			spoil(&c)
			if _, err := signer.Sign(c); err == nil {
				t.Error("signed")
			}
		})
	}
}

func sign(t testing.TB, private ed25519.PrivateKey) string {
	t.Helper()
	signed, err := token.NewSigner(token.SignerConfig{Issuer: issuer, Audience: audience, KeyID: "k1", Key: private}).Sign(claims())
	if err != nil {
		t.Fatal(err)
	}
	return signed.Reveal()
}

// FuzzVerify: whatever is presented, Verify answers one of its errors and takes
// nothing that the key has not signed.
func FuzzVerify(f *testing.F) {
	public, private := key(f)
	good := sign(f, private)
	f.Add(good)
	f.Add(good + ".")
	f.Add("")
	f.Add("..")
	f.Add(base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + ".e30.")
	v := verifier(keys{"k1": public}, noon)
	f.Fuzz(func(t *testing.T, presented string) {
		_, err := v.Verify(t.Context(), secret.New(presented))
		switch {
		case err == nil && presented != good:
			t.Errorf("accepted %q", presented)
		case err != nil && !errors.Is(err, token.ErrInvalid):
			t.Errorf("%q: %v", presented, err)
		}
	})
}
