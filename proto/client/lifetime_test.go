package client

import (
	"encoding/base64"
	"testing"
	"time"
)

func FuzzLifetime(f *testing.F) {
	for _, claims := range []string{`{"iat": 1, "exp": 901}`, `{"iat": 901, "exp": 1}`, `{"iat": 1, "exp": 1e300}`, `{"iat": "1"}`, ``} {
		f.Add("h." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".s")
	}
	f.Add("opaque")
	f.Fuzz(func(t *testing.T, token string) {
		if life, ok := lifetime(token); ok != (life > 0) || life > maxLifetime {
			t.Errorf("%q lives %v", token, life)
		}
	})
}

func TestTheLifetimeIsReadFromTheToken(t *testing.T) {
	t.Parallel()
	token := "h." + base64.RawURLEncoding.EncodeToString([]byte(`{"iat": 1790000000, "exp": 1790000900}`)) + ".s"
	if life, ok := lifetime(token); !ok || life != 15*time.Minute {
		t.Errorf("%v %v", life, ok)
	}
}
