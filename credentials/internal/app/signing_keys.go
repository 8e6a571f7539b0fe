package app

// SigningKeys tells the public keys of access tokens, as a JSON Web Key Set.
func (a *App) SigningKeys() ([]byte, error) { return a.config.Keys.JWKS() }
