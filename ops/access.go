package ops

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gabiondb/gabion/messages"
)

// access is what a request may do.
type access int

const (
	nobody access = iota
	reader        // whatever changes nothing
	admin
)

const (
	// minToken is the least length of a token, in bytes: guessing one over the network must take for ever.
	minToken = 16
	maxToken = 1024
	// sessionLife is how long a browser stays signed in.
	sessionLife = 12 * time.Hour
	sessionName = "gabion_session"
)

// guard knows who may do what.
type guard struct {
	readOnly bool
	// admin and reader are the hashes of the tokens, of one length whatever the token's; nil where there is none.
	admin, reader []byte
	// key signs sessions. It comes from the tokens: changing one ends every session.
	key []byte
	// hosts are the names that requests may be addressed to; nil is any.
	hosts  []string
	origin *http.CrossOriginProtection
}

func newGuard(o HandlerOptions) (*guard, error) {
	var faults []error
	for _, t := range []struct{ name, token string }{{"admin token", o.AdminToken}, {"read token", o.ReadToken}} {
		if t.token != "" {
			faults = append(faults, checkToken(t.name, t.token))
		}
	}
	if o.AdminToken != "" && o.AdminToken == o.ReadToken {
		faults = append(faults, messages.WithHint(fmt.Errorf("admin token and read token are the same: %w", messages.ErrInvalid), "make two tokens"))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	g := &guard{readOnly: o.ReadOnly, hosts: o.Hosts, origin: http.NewCrossOriginProtection()}
	if o.AdminToken != "" {
		g.admin = hash(o.AdminToken)
	}
	if o.ReadToken != "" {
		g.reader = hash(o.ReadToken)
	}
	g.key = hash("gabion session\x00" + o.AdminToken + "\x00" + o.ReadToken)
	return g, nil
}

func checkToken(name, token string) error {
	switch {
	case len(token) < minToken:
		return messages.WithHint(fmt.Errorf("%s has %d B, minimum is %d B: %w", name, len(token), minToken, messages.ErrInvalid), "make one with: openssl rand -hex 32")
	case len(token) > maxToken:
		return messages.WithHint(fmt.Errorf("%s has %d B, maximum is %d B: %w", name, len(token), maxToken, messages.ErrInvalid), "make one with: openssl rand -hex 32")
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return messages.WithHint(fmt.Errorf("%s holds a space, or something else than ASCII: %w", name, messages.ErrInvalid), "make one with: openssl rand -hex 32")
	}
	return nil
}

func hash(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

// asks tells whether a token is needed at all.
func (g *guard) asks() bool { return g.admin != nil || g.reader != nil }

// of is what a request may do, by its bearer token or its session.
func (g *guard) of(r *http.Request) access {
	got := admin
	if g.asks() {
		got = g.shown(r)
	}
	if g.readOnly {
		got = min(got, reader)
	}
	return got
}

func (g *guard) shown(r *http.Request) access {
	// A token that is wrong is not made good by a session. What else a browser sends may be the host's own, which asked for it.
	if scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "Bearer") {
		return g.withToken(strings.TrimSpace(token))
	}
	cookie, err := r.Cookie(sessionName)
	if err != nil {
		return nobody
	}
	return g.withSession(cookie.Value, time.Now())
}

func (g *guard) withToken(token string) access {
	sum := hash(token)
	switch {
	case g.admin != nil && subtle.ConstantTimeCompare(sum, g.admin) == 1:
		return admin
	case g.reader != nil && subtle.ConstantTimeCompare(sum, g.reader) == 1:
		return reader
	}
	return nobody
}

// session is the value of a cookie that gives access until it expires: ACCESS.EXPIRY.SIGNATURE. Nothing of it is kept here.
func (g *guard) session(a access, now time.Time) string {
	text := fmt.Sprintf("%d.%d", a, now.Add(sessionLife).Unix())
	return text + "." + g.sign(text)
}

func (g *guard) sign(text string) string {
	mac := hmac.New(sha256.New, g.key)
	mac.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func (g *guard) withSession(value string, now time.Time) access {
	i := strings.LastIndexByte(value, '.')
	if i < 0 || !hmac.Equal([]byte(value[i+1:]), []byte(g.sign(value[:i]))) {
		return nobody
	}
	level, expiry, _ := strings.Cut(value[:i], ".")
	until, err := strconv.ParseInt(expiry, 10, 64)
	// A session that would last for longer was made while the clock was ahead: it would outlive all others.
	if err != nil || now.Unix() >= until || until-now.Unix() > int64((sessionLife+messages.Skew)/time.Second) {
		return nobody
	}
	switch level {
	case strconv.Itoa(int(admin)):
		return admin
	case strconv.Itoa(int(reader)):
		return reader
	}
	return nobody
}

// checkSource refuses what a browser sends for a page of another site: an action with its user's session, and anything to a
// name that such a site has had resolve to this host.
func (g *guard) checkSource(r *http.Request) *refused {
	if g.hosts != nil && !g.addressed(r.Host) {
		return &refused{http.StatusMisdirectedRequest, messages.Failf(messages.Code_CODE_PERMISSION_DENIED,
			"host %q is not served here", r.Host).Advise("use the address that gabion serves, or set a token")}
	}
	if err := g.origin.Check(r); err != nil {
		return &refused{http.StatusForbidden, messages.Failf(messages.Code_CODE_PERMISSION_DENIED,
			"request comes from a page of another site: %v", err).Advise("use the dashboard at its own address")}
	}
	return nil
}

// addressed tells whether a Host header names one of the hosts. An address that is none of a name cannot be made to resolve
// elsewhere, so any will do.
func (g *guard) addressed(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return true
	}
	return slices.ContainsFunc(g.hosts, func(h string) bool { return strings.EqualFold(h, name) })
}

// refused is why a request is not carried out.
type refused struct {
	status  int
	failure *messages.Failure
}

// check tells whether what was shown is enough.
func (g *guard) check(r *http.Request, needed access) *refused {
	switch got := g.of(r); {
	case got >= needed:
		return nil
	case got == nobody && r.Header.Get("Authorization") != "":
		return &refused{http.StatusUnauthorized, messages.Failf(messages.Code_CODE_UNAUTHENTICATED, "token is not known").
			Advise("send the token that the server was started with: Authorization: Bearer TOKEN")}
	case got == nobody:
		return &refused{http.StatusUnauthorized, messages.Failf(messages.Code_CODE_UNAUTHENTICATED, "no token given").
			Advise("send Authorization: Bearer TOKEN, or sign in to the dashboard")}
	case g.readOnly:
		return &refused{http.StatusForbidden, messages.Failf(messages.Code_CODE_PERMISSION_DENIED, "served for reading only").
			Advise("use the gabion command on the host")}
	}
	return &refused{http.StatusForbidden, messages.Failf(messages.Code_CODE_PERMISSION_DENIED, "the token allows reading only").
		Advise("use the admin token")}
}
