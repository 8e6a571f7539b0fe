// Package docs serves the documentation of the public API from inside the
// binary, so that it is there without a network and is of this very version.
//
//	proto/muster/v1/*.proto ── go tool task generate ──▶ openapi.yaml, page.html
//	   comments, rules, (documentation), (reason)               │ go:embed
//	                                                            ▼
//	                            GET /docs   GET /docs/*   GET /openapi.yaml
//
// Both files are made by tools/protoc-gen-muster-docs; style.css and script.js
// are written by hand. Nothing is loaded from elsewhere and nothing is inline,
// so the page's Content-Security-Policy allows this origin's files only.
package docs
