package ops

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops/dashboard"
)

// routes says what is where, and who may have it.
func (h *Handler) routes(b bounds) http.Handler {
	mux := http.NewServeMux()
	s := newService(h.ending, h.gabion, h.logger)
	mux.Handle("/gabion.v1.GabionService/", h.rpc(s.handler(b)))
	h.rooms = s.rooms
	mux.HandleFunc("GET /healthz", healthz)
	mux.HandleFunc("GET /readyz", h.readyz)
	mux.Handle("GET /metrics", h.allowed(reader, h.few("metrics", h.metrics)))
	mux.Handle("GET /v1/events", h.allowed(reader, http.HandlerFunc(h.events)))
	mux.Handle("GET /assets/{file}", dashboard.Assets())
	mux.Handle("GET /{$}", h.page("overview", h.pages.Overview))
	mux.Handle("GET /tables/{table}", h.page("table", h.pages.Table))
	mux.Handle("GET /backups/{table}/{id}", h.page("backup", h.pages.Backup))
	mux.HandleFunc("GET /login", h.login)
	mux.HandleFunc("POST /login", h.signIn)
	mux.HandleFunc("POST /logout", h.signOut)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { h.unrouted(w, r, mux) })
	return mux
}

// unrouted answers what no route takes: a method that a page does not have, or a path without a page. A mux answers the first
// itself only where it has no "/".
func (h *Handler) unrouted(w http.ResponseWriter, r *http.Request, mux *http.ServeMux) {
	var allow []string
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
		if _, pattern := mux.Handler(&http.Request{Method: method, Host: r.Host, URL: r.URL}); pattern != "/" {
			allow = append(allow, method)
		}
	}
	if allow == nil {
		h.refuse(w, r, &refused{http.StatusNotFound, messages.Failf(messages.Code_CODE_NOT_FOUND, "no such page").
			Advise("the dashboard is at the root; docs/operate.md lists what else is served")})
		return
	}
	w.Header().Set("Allow", strings.Join(allow, ", "))
	h.refuse(w, r, &refused{http.StatusMethodNotAllowed, messages.Failf(messages.Code_CODE_UNIMPLEMENTED, "page does not take %s", r.Method).
		Advise("use " + strings.Join(allow, " or "))})
}

// allowed answers those who may.
func (h *Handler) allowed(needed access, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if no := h.guard.check(r, needed); no != nil {
			h.refuse(w, r, no)
			return
		}
		next.ServeHTTP(w, withAccess(r, h.guard.of(r)))
	})
}

// few answers so many at a time.
func (h *Handler) few(what string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		back, no := h.rooms.reads.take(r.Context(), accessOf(r.Context()), what)
		if no != nil {
			h.refuse(w, r, &refused{http.StatusTooManyRequests, no})
			return
		}
		defer back()
		next.ServeHTTP(w, r)
	})
}

// page answers those who may read, and has the others sign in.
func (h *Handler) page(what string, show func(http.ResponseWriter, *http.Request, dashboard.Viewer)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.guard.of(r) == nobody {
			w.Header().Set("Location", root(r)+"login")
			w.WriteHeader(http.StatusSeeOther)
			return
		}
		h.few(what, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			show(w, r, h.viewer(r))
		})).ServeHTTP(w, withAccess(r, h.guard.of(r)))
	})
}

func (h *Handler) viewer(r *http.Request) dashboard.Viewer {
	got := h.guard.of(r)
	return dashboard.Viewer{Root: root(r), Known: got != nobody, Admin: got == admin, SignedIn: h.guard.asks() && got != nobody}
}

// root is the relative URL of the root of the handler, for the path as the browser has it: a slash that is escaped leads nowhere.
func root(r *http.Request) string {
	if depth := strings.Count(r.URL.EscapedPath(), "/") - 1; depth > 0 {
		return strings.Repeat("../", depth)
	}
	return "./"
}

// procedure is what the service definition says of one.
type procedure struct {
	// needs is reader where the definition calls it free of side effects.
	needs  access
	stream bool // its answer
}

// procedures are all of them, by path.
var procedures = func() map[string]procedure {
	all := make(map[string]procedure)
	services := messages.File_gabion_v1_service_proto.Services()
	for i := range services.Len() {
		methods := services.Get(i).Methods()
		for j := range methods.Len() {
			m := methods.Get(j)
			options, _ := m.Options().(*descriptorpb.MethodOptions)
			need := admin
			if options.GetIdempotencyLevel() == descriptorpb.MethodOptions_NO_SIDE_EFFECTS {
				need = reader
			}
			all["/"+string(services.Get(i).FullName())+"/"+string(m.Name())] = procedure{need, m.IsStreamingServer()}
		}
	}
	return all
}()

// rpc answers the procedures to those who may call them.
func (h *Handler) rpc(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		need := reader // of one that there is not, the service says so
		if p, known := procedures[r.URL.Path]; known {
			need = p.needs
		}
		if no := h.guard.check(r, need); no != nil {
			h.refuse(w, r, no)
			return
		}
		next.ServeHTTP(w, withAccess(r, h.guard.of(r)))
	})
}

// refuse answers a request that is not carried out, in the way in which it was made.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, no *refused) {
	if no.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="gabion"`)
	}
	sayWhen(w, no.failure)
	if writer := connect.NewErrorWriter(); r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/gabion.v1.") && writer.IsSupported(r) {
		_ = writer.Write(w, r, toConnect(no.failure)) // who went away is told nothing
		return
	}
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		h.pages.Problem(w, no.status, no.failure, h.viewer(r))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(no.status)
	writeFailure(w, no.failure)
}

// writeFailure writes a failure as Connect writes errors, with the hint beside.
func writeFailure(w http.ResponseWriter, f *messages.Failure) {
	_ = json.NewEncoder(w).Encode(struct { // a client that went away gets nothing
		Code    string `json:"code"`
		Message string `json:"message"`
		Hint    string `json:"hint,omitempty"`
	}{connect.Code(f.GetCode()).String(), f.GetMessage(), f.GetHint()})
}

// sayWhen sets the header Retry-After where a failure says when to try again.
func sayWhen(w http.ResponseWriter, f *messages.Failure) {
	if after := f.GetRetryAfter().AsDuration(); after > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(int64((after+time.Second-1)/time.Second), 10))
	}
}
