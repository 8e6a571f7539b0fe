package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/muster-id/muster/eventstore/backoff"
)

// patience is for how long a client repeats what it does not know the end of.
const patience = 75 * time.Second

// visitor is a client: it opens accounts one after the other and does with each
// what people do.
type visitor struct {
	*world
	number int
	dice   *rand.Rand
	made   int
	dot    []byte // a picture
}

// account is what its owner believes it to be.
type account struct {
	id, name, password string
	access, refresh    string
	consistency        string // of its last write
	firstName          string
	roles              []string
}

func newVisitor(w *world, seed uint64, number int) *visitor {
	return &visitor{world: w, number: number, dice: rand.New(rand.NewPCG(seed, uint64(100+number)))} //nolint:gosec // no secret
}

// visit goes on until open ends; what is begun then is brought to its end within
// ctx.
func (v *visitor) visit(ctx, open context.Context) {
	for open.Err() == nil {
		a := v.register(ctx)
		if a == nil || !v.signsIn(ctx, a, "Register") {
			continue
		}
		deeds := []func(context.Context, *account) bool{
			v.rename, v.rename, v.changePassword, v.mistypes, v.takesRoles, v.refreshes, v.takenName, v.listed, v.picture,
		}
		for range 3 + v.dice.IntN(5) {
			if open.Err() != nil || !deeds[v.dice.IntN(len(deeds))](ctx, a) {
				break
			}
		}
	}
}

// settle repeats a write under its key until it is known how it ended, or the
// patience ends.
func (v *visitor) settle(ctx context.Context, w *write) answer {
	w.key = uuid.NewString()
	v.history.begin(w)
	return v.follow(ctx, w)
}

func (w *world) follow(ctx context.Context, of *write) answer {
	var got answer
	var tried backoff.Backoff
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		got = of.again()
		if got.request != "" {
			of.requests = append(of.requests, got.request)
		}
		switch {
		case got.ok():
			w.history.end(of, acknowledged, "")
			return got
		case !got.retryable():
			w.history.end(of, refused, got.label())
			return got
		}
		if tried.Pause(ctx) != nil {
			w.history.end(of, unknown, got.label())
			return got
		}
	}
}

// read repeats a read until it is answered one way or the other.
func (v *visitor) read(ctx context.Context, ask func() answer) answer {
	var tried backoff.Backoff
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		got := ask()
		if !got.retryable() || ctx.Err() != nil {
			return got
		}
		if got.reason == "NOT_CAUGHT_UP" {
			v.history.mutex.Lock()
			v.history.delayed++
			v.history.mutex.Unlock()
		}
		if tried.Pause(ctx) != nil {
			return got
		}
	}
}

// address is one of its own for each account: how much one address may learn
// about names is limited.
func (v *visitor) address() header {
	return header{"X-Forwarded-For", fmt.Sprintf("10.%d.%d.%d", v.number, v.made/250, v.made%250+1)}
}

func (v *visitor) register(ctx context.Context) *account {
	v.made++
	a := &account{name: fmt.Sprintf("c%d-%d-%s", v.number, v.made, uuid.NewString()[:8]), password: "first " + uuid.NewString(), firstName: "Given"}
	w := &write{kind: "Register", types: []string{"UserRegistered", "PasswordSet"}}
	// Repeated later it must be the same, whatever the account is by then.
	asked, from := map[string]any{
		"username": a.name, "email": a.name + "@example.org", "password": a.password, "firstName": a.firstName, "lastName": "Family",
	}, v.address()
	w.again = func() answer { return v.call(ctx, "AuthService/Register", asked, keyed(w.key), from) }
	got := v.settle(ctx, w)
	if !got.ok() {
		return nil
	}
	a.id, a.consistency = got.text("userId"), got.text("consistencyToken")
	w.stream = "user-" + a.id
	return a
}

// signsIn must succeed after what the account's owner has done last.
func (v *visitor) signsIn(ctx context.Context, a *account, after string) bool {
	got := v.read(ctx, func() answer {
		return v.call(ctx, "AuthService/Login", map[string]any{"login": a.name, "password": a.password, "consistencyToken": a.consistency})
	})
	if !got.ok() {
		if !got.retryable() {
			v.history.misreads("%s cannot sign in after %s: %s (request %s)", a.name, after, got.label(), got.request)
		}
		return false
	}
	if got.text("userId") != a.id {
		v.history.misreads("%s signs in as %s, and is %s (request %s)", a.name, got.text("userId"), a.id, got.request)
	}
	a.access, a.refresh = got.text("accessToken"), got.text("refreshToken")
	return true
}

// rename changes the account's own profile and looks at it.
func (v *visitor) rename(ctx context.Context, a *account) bool {
	name := "Given " + uuid.NewString()
	w := &write{kind: "UpdateMe", stream: "user-" + a.id, types: []string{"ProfileUpdated"}}
	w.again = func() answer {
		return v.call(ctx, "UserService/UpdateMe", map[string]any{"firstName": name}, bearer(a.access), keyed(w.key))
	}
	got := v.settle(ctx, w)
	if !got.ok() {
		v.astonished(got, "UpdateMe")
		return false
	}
	a.firstName, a.consistency = name, got.text("consistencyToken")
	me := v.read(ctx, func() answer { return v.call(ctx, "UserService/GetMe", map[string]any{}, bearer(a.access)) })
	if me.ok() && me.object("user")["firstName"] != name {
		v.history.misreads("GetMe of %s does not show the name that it was given (request %s)", a.name, me.request)
	}
	return me.ok()
}

// changePassword, after which the new one signs in and the old one does not.
func (v *visitor) changePassword(ctx context.Context, a *account) bool {
	former, next := a.password, "next "+uuid.NewString()
	w := &write{kind: "ChangePassword", stream: "user-" + a.id, types: []string{"PasswordSet"}}
	w.again = func() answer {
		return v.call(ctx, "AuthService/ChangePassword", map[string]any{"presentPassword": former, "newPassword": next}, bearer(a.access), keyed(w.key))
	}
	got := v.settle(ctx, w)
	if !got.ok() {
		v.astonished(got, "ChangePassword")
		return false
	}
	a.password, a.consistency = next, got.text("consistencyToken")
	old := v.read(ctx, func() answer {
		return v.call(ctx, "AuthService/Login", map[string]any{"login": a.name, "password": former, "consistencyToken": a.consistency})
	})
	if old.ok() {
		v.history.misreads("%s signs in with the password from before ChangePassword (request %s)", a.name, old.request)
	}
	return v.signsIn(ctx, a, "ChangePassword")
}

// mistypes asks for a change that must be refused.
func (v *visitor) mistypes(ctx context.Context, a *account) bool {
	w := &write{kind: "ChangePassword", stream: "user-" + a.id, types: []string{"PasswordSet"}}
	w.again = func() answer {
		return v.call(ctx, "AuthService/ChangePassword", map[string]any{"presentPassword": "not " + a.password, "newPassword": "next " + a.name}, bearer(a.access), keyed(w.key))
	}
	if got := v.settle(ctx, w); got.ok() {
		v.history.misreads("a wrong password of %s is taken (request %s)", a.name, got.request)
	}
	return true
}

// takenName asks for a name that somebody has.
func (v *visitor) takenName(ctx context.Context, a *account) bool {
	w := &write{kind: "Register", types: []string{"UserRegistered", "PasswordSet"}}
	w.again = func() answer {
		return v.call(ctx, "AuthService/Register", map[string]any{
			"username": a.name, "email": "other-" + a.name + "@example.org", "password": a.password,
		}, keyed(w.key), v.address())
	}
	if got := v.settle(ctx, w); got.ok() {
		v.history.misreads("the name %s is given to somebody else (request %s)", a.name, got.request)
	}
	return true
}

// takesRoles has the administrator change the account's roles, which its next
// sign-in and the list show.
func (v *visitor) takesRoles(ctx context.Context, a *account) bool {
	roles := []string{"auditor"}
	if len(a.roles) > 0 {
		roles = []string{}
	}
	w := &write{kind: "SetUserRoles", stream: "user-" + a.id, types: []string{"RolesChanged"}}
	w.again = func() answer {
		return v.call(ctx, "AdminService/SetUserRoles", map[string]any{"userId": a.id, "roles": roles}, bearer(v.admin), keyed(w.key))
	}
	got := v.settle(ctx, w)
	if !got.ok() {
		v.astonished(got, "SetUserRoles")
		return false
	}
	a.roles, a.consistency = roles, got.text("consistencyToken")
	return v.listed(ctx, a) && v.signsIn(ctx, a, "SetUserRoles")
}

// listed looks at the account in the administrator's list, which is a read
// model.
func (v *visitor) listed(ctx context.Context, a *account) bool {
	got := v.read(ctx, func() answer {
		return v.call(ctx, "AdminService/ListUsers", map[string]any{"username": a.name, "consistencyToken": a.consistency}, bearer(v.admin))
	})
	if !got.ok() {
		v.astonished(got, "ListUsers")
		return false
	}
	users, _ := got.body["users"].([]any)
	if len(users) != 1 {
		v.history.misreads("ListUsers shows %s %d times (request %s)", a.name, len(users), got.request)
		return true
	}
	user, _ := users[0].(map[string]any)
	var roles []string
	listed, _ := user["roles"].([]any)
	for _, role := range listed {
		name, _ := role.(string)
		roles = append(roles, name)
	}
	if user["firstName"] != a.firstName || !slices.Equal(roles, a.roles) {
		v.history.misreads("ListUsers shows %s with the roles %v, not %v, or another first name (request %s)", a.name, roles, a.roles, got.request)
	}
	return true
}

// refreshes exchanges the refresh token. It is good once: a try without an
// answer may have used it.
func (v *visitor) refreshes(ctx context.Context, a *account) bool {
	if a.refresh == "" {
		return true
	}
	spent := false
	got := v.read(ctx, func() answer {
		got := v.call(ctx, "AuthService/RefreshToken", map[string]any{"refreshToken": a.refresh})
		spent = spent || got.isUnsure()
		return got
	})
	switch {
	case got.ok():
		a.access, a.refresh = got.text("accessToken"), got.text("refreshToken")
	case spent:
		return v.signsIn(ctx, a, "RefreshToken")
	default:
		v.astonished(got, "RefreshToken")
		return false
	}
	return true
}

// picture gives the account an avatar.
func (v *visitor) picture(ctx context.Context, a *account) bool {
	got := v.read(ctx, func() answer { return v.put(ctx, "/me/avatar", v.dot, bearer(a.access)) })
	if !got.ok() {
		v.astonished(got, "PUT /me/avatar")
	}
	return got.ok()
}

// astonished takes down a refusal that nothing gave a reason for.
func (v *visitor) astonished(got answer, method string) {
	if !got.ok() && !got.retryable() {
		v.history.misreads("%s was refused with %s, for no reason of the client's (request %s)", method, got.label(), got.request)
	}
}
