// Package loginname brings the names that people type into the one form in
// which they are stored and compared.
//
// Identity reserves what Username and Email answer, and credentials looks up
// what Parse answers, so both have to use this package and nothing else: a name
// that is canonical stays as it is when it comes through again.
package loginname
