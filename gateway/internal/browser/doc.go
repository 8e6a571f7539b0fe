// Package browser holds what only browsers need: which foreign origins may
// call (CORS), whether a call that a cookie authorises comes from where it may
// come from, and the cookie of the refresh token.
//
//	browser ── preflight ──▶ Handler ──▶ RefreshToken, Logout
//	                                    │ no token in the body: the cookie authorises
//	                                    ▼
//	                                  Policy.Check: own origin, or one on the allow-list
//
// A cookie is sent by the browser whoever wrote the page; a token in the body
// is not. So only calls that live by the cookie are checked.
package browser
