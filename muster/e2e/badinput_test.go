package e2e_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// Each rule of a registration is told with its field, and nothing is half done:
// the same names register afterwards.
func TestRegisterNamesTheFieldAtFault(t *testing.T) {
	s := shared(t)
	good := somebody("mallory")
	for name, bad := range map[string]struct {
		change func(*person)
		field  string
	}{
		"username too short":              {func(p *person) { p.Username = "m" }, "username"},
		"username with an at sign":        {func(p *person) { p.Username = "m@llory" }, "username"},
		"username with a space":           {func(p *person) { p.Username = "mal lory" }, "username"},
		"username with a zero-width":      {func(p *person) { p.Username = "mal\u200blory" }, "username"},
		"email without an at sign":        {func(p *person) { p.Email = "mallory.example.org" }, "email"},
		"email without a domain":          {func(p *person) { p.Email = "mallory@" }, "email"},
		"email with two at signs":         {func(p *person) { p.Email = "m@l@example.org" }, "email"},
		"email with a space":              {func(p *person) { p.Email = "mal lory@example.org" }, "email"},
		"password too short":              {func(p *person) { p.Password = "1234567" }, "password"},
		"first name with a newline":       {func(p *person) { p.FirstName = "Mal\nlory" }, "firstName"},
		"first name with an escape":       {func(p *person) { p.FirstName = "Mal\x1b[31mlory" }, "firstName"},
		"last name with a no-break space": {func(p *person) { p.LastName = "Mal\u00a0lory" }, "lastName"},
		"last name written backwards":     {func(p *person) { p.LastName = "Mal\u202elory" }, "lastName"},
		"last name too long":              {func(p *person) { p.LastName = strings.Repeat("x", 101) }, "lastName"},
	} {
		t.Run(name, func(t *testing.T) {
			p := good
			bad.change(&p)
			got := s.call(t, "AuthService/Register", p).refused(t, musterv1.Reason_REASON_INVALID_ARGUMENT, bad.field)
			for _, value := range []string{p.Password, p.Email, "lory"} {
				if len(value) > 7 && strings.Contains(got.raw, value) {
					t.Errorf("the error repeats the input: %s", got.raw)
				}
			}
		})
	}
	s.call(t, "AuthService/Register", good).ok(t)
}

// A username or email that somebody has is refused with its field, in any
// spelling that means the same.
func TestDuplicatesAreRefusedWithTheField(t *testing.T) {
	s := shared(t)
	first := somebody("trent")
	s.call(t, "AuthService/Register", first).ok(t)

	other := somebody("trent-two")
	other.Username = "TRENT"
	s.call(t, "AuthService/Register", other).refused(t, musterv1.Reason_REASON_USERNAME_TAKEN, "username")
	other = somebody("trent-two")
	other.Email = "Trent@Example.ORG"
	s.call(t, "AuthService/Register", other).refused(t, musterv1.Reason_REASON_EMAIL_TAKEN, "email")
	// What was refused left nothing behind.
	s.call(t, "AuthService/Register", somebody("trent-two")).ok(t)
}

// Public JSON refuses what it does not know; a body over the limit is refused
// before it is read whole.
func TestBodiesThatAreNoRequests(t *testing.T) {
	s := shared(t)
	got := s.call(t, "AuthService/Register", `{"username":"x1","mail":"x@example.org"}`).refused(t, musterv1.Reason_REASON_UNKNOWN_FIELD, "mail")
	if got.status != http.StatusBadRequest {
		t.Errorf("status %d", got.status)
	}
	s.call(t, "AuthService/Login", `{"login":`).refused(t, musterv1.Reason_REASON_INVALID_ARGUMENT, "")
	s.call(t, "AuthService/Login", `{"login":"`+strings.Repeat("x", 2<<20)+`"}`).refused(t, musterv1.Reason_REASON_BODY_TOO_LARGE, "")
}

// An unknown user and a wrong password look the same, and neither is echoed.
func TestUnknownUserLooksLikeAWrongPassword(t *testing.T) {
	s := shared(t)
	peggy := somebody("peggy")
	s.call(t, "AuthService/Register", peggy).ok(t)
	wrong := s.call(t, "AuthService/Login", map[string]any{"login": peggy.Username, "password": "not peggy's"}).refused(t, musterv1.Reason_REASON_WRONG_CREDENTIALS, "")
	unknown := s.call(t, "AuthService/Login", map[string]any{"login": "nobody-at-all", "password": "not peggy's"}).refused(t, musterv1.Reason_REASON_WRONG_CREDENTIALS, "")
	if wrong.status != unknown.status || wrong.text("message") != unknown.text("message") {
		t.Errorf("%s differs from %s", wrong.raw, unknown.raw)
	}
}

// Tokens that are expired, forged, unsigned, for somebody else, or signed with
// another key open nothing.
func TestAccessTokensThatOpenNothing(t *testing.T) {
	s := shared(t)
	victor := somebody("victor")
	s.call(t, "AuthService/Register", victor).ok(t)
	good := s.call(t, "AuthService/Login", victor.login()).ok(t).text("accessToken")
	header, claims := parts(t, good)
	_, stranger, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(method jwt.SigningMethod, key any, change func(h, c map[string]any)) string {
		h, c := clone(header), clone(claims)
		change(h, c)
		token := jwt.NewWithClaims(method, jwt.MapClaims(c))
		for name, value := range h {
			token.Header[name] = value
		}
		token.Header["alg"] = method.Alg()
		signed, err := token.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	same := func(_, _ map[string]any) {}
	pieces := strings.Split(good, ".")
	for name, token := range map[string]string{
		"missing signature":   pieces[0] + "." + pieces[1] + ".",
		"another key":         sign(jwt.SigningMethodEdDSA, stranger, same),
		"alg none":            sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, same),
		"HMAC with some key":  sign(jwt.SigningMethodHS256, []byte("guess"), same),
		"unknown key id":      sign(jwt.SigningMethodEdDSA, stranger, func(h, _ map[string]any) { h["kid"] = "other" }),
		"another audience":    sign(jwt.SigningMethodEdDSA, stranger, func(_, c map[string]any) { c["aud"] = "elsewhere" }),
		"expired, forged":     sign(jwt.SigningMethodEdDSA, stranger, func(_, c map[string]any) { c["exp"] = time.Now().Add(-time.Hour).Unix() }),
		"altered claims":      pieces[0] + "." + base64.RawURLEncoding.EncodeToString(altered(t, claims)) + "." + pieces[2],
		"no token":            "x",
		"oversized":           strings.Repeat("A", 10000),
		"another type":        sign(jwt.SigningMethodEdDSA, stranger, func(h, _ map[string]any) { h["typ"] = "JWT" }),
		"the token twice":     good + "." + good,
		"a trailing new part": good + ".e30",
	} {
		t.Run(name, func(t *testing.T) {
			s.call(t, "UserService/GetMe", map[string]any{}, bearer(token)).refused(t, musterv1.Reason_REASON_TOKEN_INVALID, "")
		})
	}
	s.call(t, "UserService/GetMe", map[string]any{}).refused(t, musterv1.Reason_REASON_UNAUTHENTICATED, "")
	s.call(t, "UserService/GetMe", map[string]any{}, bearer(good)).ok(t)
}

// The same Idempotency-Key and request is answered with the first outcome; with
// another request it is refused.
func TestIdempotencyKeys(t *testing.T) {
	s := shared(t)
	key := header{"Idempotency-Key", uuid.NewString()}
	walter := somebody("walter")
	first := s.call(t, "AuthService/Register", walter, key).ok(t)
	again := s.call(t, "AuthService/Register", walter, key).ok(t)
	if first.text("userId") != again.text("userId") {
		t.Errorf("repeated as %s, registered as %s", again.text("userId"), first.text("userId"))
	}
	s.call(t, "AuthService/Register", somebody("walter-two"), key).refused(t, musterv1.Reason_REASON_IDEMPOTENCY_KEY_REUSED, "")
	s.call(t, "AuthService/Register", somebody("walter-two")).ok(t)

	token := bearer(s.call(t, "AuthService/Login", walter.login()).ok(t).text("accessToken"))
	key = header{"Idempotency-Key", uuid.NewString()}
	s.call(t, "UserService/UpdateMe", map[string]any{"firstName": "Walt"}, token, key).ok(t)
	s.call(t, "UserService/UpdateMe", map[string]any{"firstName": "Walt"}, token, key).ok(t)
	s.call(t, "UserService/UpdateMe", map[string]any{"firstName": "Wally"}, token, key).refused(t, musterv1.Reason_REASON_IDEMPOTENCY_KEY_REUSED, "")

	key = header{"Idempotency-Key", uuid.NewString()}
	change := map[string]any{"presentPassword": walter.Password, "newPassword": "walter's second password"}
	s.call(t, "AuthService/ChangePassword", change, token, key).ok(t)
	s.call(t, "AuthService/ChangePassword", change, token, key).ok(t)
	s.call(t, "AuthService/Register", somebody("walter-three"), header{"Idempotency-Key", "short"}).refused(t, musterv1.Reason_REASON_INVALID_ARGUMENT, "Idempotency-Key")
}

// A path that is no method is told so, as JSON.
func TestUnknownMethod(t *testing.T) {
	s := shared(t)
	got := s.call(t, "AuthService/Nothing", map[string]any{})
	if got.status != http.StatusNotFound || got.text("code") != "unimplemented" {
		t.Errorf("got %d %s", got.status, got.raw)
	}
}

func parts(t *testing.T, token string) (header, claims map[string]any) {
	t.Helper()
	pieces := strings.Split(token, ".")
	if len(pieces) != 3 {
		t.Fatalf("%d parts", len(pieces))
	}
	for i, into := range []*map[string]any{&header, &claims} {
		raw, err := base64.RawURLEncoding.DecodeString(pieces[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, into); err != nil {
			t.Fatal(err)
		}
	}
	return header, claims
}

func clone(of map[string]any) map[string]any {
	copied := make(map[string]any, len(of))
	for name, value := range of {
		copied[name] = value
	}
	return copied
}

func altered(t *testing.T, claims map[string]any) []byte {
	t.Helper()
	c := clone(claims)
	c["roles"] = []string{"admin"}
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
