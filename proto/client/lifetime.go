package client

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
)

// maxLifetime bounds what is believed of a token: longer ones are nonsense.
const maxLifetime = 366 * 24 * time.Hour

// lifetime reads from an access token (a JWT, RFC 7519) how long it lives from
// now on, given that it was issued now. Nothing here trusts it: it only says
// when to ask for the next one on a machine whose clock is wrong.
func lifetime(token string) (time.Duration, bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return 0, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return 0, false
	}
	var claims struct {
		IssuedAt  float64 `json:"iat"`
		ExpiresAt float64 `json:"exp"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		return 0, false
	}
	seconds := claims.ExpiresAt - claims.IssuedAt
	if seconds < 1 || seconds > maxLifetime.Seconds() {
		return 0, false
	}
	return time.Duration(seconds * float64(time.Second)), true
}
