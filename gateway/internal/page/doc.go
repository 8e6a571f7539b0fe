// Package page makes the tokens by which a client asks for the next page of a
// list. Services tell one another in clear where a page ended; what goes out
// is sealed here, since that place holds names, and bound to its query, since
// it means nothing in another one.
//
//	ListUsers ──▶ identity answers the page and its place ──▶ Seal ──▶ client
//	client ──▶ ListUsers with the token ──▶ Open ──▶ identity goes on after the place
//
// Nothing is kept between two pages: any gateway with the same key opens them.
package page
