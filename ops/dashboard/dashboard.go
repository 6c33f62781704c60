// Package dashboard renders the pages on which a person sees how a Gabion's tables are, and its assets. A page works without
// scripts; with them it stays up to date, shows charts, and acts by calling GabionService.
package dashboard

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"html/template"
	"log/slog"
	"net/http"
	"path"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// Latest returns the newest health report and when it was made, nil where there is none yet. It waits for no disk for long.
type Latest func(context.Context) (*messages.HealthReport, time.Time)

// patience is how long a page waits for what it shows.
const patience = 3 * time.Second

// Dashboard renders pages of one Gabion. Its methods may be called from any goroutine.
type Dashboard struct {
	gabion *actors.Gabion
	latest Latest
	logger *slog.Logger
}

// New makes the dashboard of g.
func New(g *actors.Gabion, latest Latest, logger *slog.Logger) *Dashboard {
	return &Dashboard{gabion: g, latest: latest, logger: logger}
}

// Viewer is who looks at a page.
type Viewer struct {
	// Root is the relative URL of the handler's root, with a slash at its end.
	Root string
	// Known may read: others are not told even whose page it is.
	Known bool
	// Admin may press the buttons.
	Admin bool
	// SignedIn is set where there are tokens, and so a way to sign out.
	SignedIn bool
}

//go:embed templates
var templateFiles embed.FS

//go:embed assets
var assetFiles embed.FS

// pages are the templates by the name of the page, each with the layout.
var pages = func() map[string]*template.Template {
	all := make(map[string]*template.Template)
	for _, name := range []string{"overview", "table", "backup", "login", "problem"} {
		all[name] = template.Must(template.New("layout.html").Funcs(words).
			ParseFS(templateFiles, "templates/layout.html", "templates/parts.html", "templates/"+name+".html"))
	}
	return all
}()

// frame is what every page has.
type frame struct {
	Viewer
	Title string
	// Section is the page's name in the menu.
	Section string
	Now     time.Time
	// Host is the directory of the tables.
	Host string
	Page any
}

// render writes a page. A template that fails is a fault of this package, and shows as a page without its rest.
func (d *Dashboard) render(w http.ResponseWriter, status int, name, title string, v Viewer, page any) {
	v.Root = cmp.Or(v.Root, "./")
	f := frame{Viewer: v, Title: title, Section: name, Now: time.Now(), Page: page}
	if v.Known {
		f.Host = d.gabion.Dir()
	}
	var b bytes.Buffer
	if err := pages[name].Execute(&b, f); err != nil {
		d.logger.Error("page cannot be rendered", "page", name, "error", err)
		http.Error(w, "the page cannot be rendered", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // who went away is shown nothing
}

// problemPage says why there is no other.
type problemPage struct {
	Status  int
	Message string
	Hint    string
}

// Problem shows why a request is not carried out.
func (d *Dashboard) Problem(w http.ResponseWriter, status int, failure *messages.Failure, v Viewer) {
	d.render(w, status, "problem", http.StatusText(status), v, problemPage{status, failure.GetMessage(), failure.GetHint()})
}

// problemOf shows an error.
func (d *Dashboard) problemOf(w http.ResponseWriter, err error, v Viewer) {
	failure := messages.FailureOf(err)
	status := http.StatusInternalServerError
	switch failure.GetCode() {
	case messages.Code_CODE_NOT_FOUND:
		status = http.StatusNotFound
	case messages.Code_CODE_INVALID_ARGUMENT:
		status = http.StatusBadRequest
	case messages.Code_CODE_UNAVAILABLE, messages.Code_CODE_DEADLINE_EXCEEDED:
		status = http.StatusServiceUnavailable
	}
	d.Problem(w, status, failure, v)
}

// Login shows the form that asks for a token, and what was wrong with the last one.
func (d *Dashboard) Login(w http.ResponseWriter, status int, wrong string, v Viewer) {
	v.SignedIn = false
	d.render(w, status, "login", "Sign in", v, wrong)
}

// types are those of the assets: the host's list of types may be anything.
var types = map[string]string{".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}

// Assets serves scripts, styles and the icon, by the wildcard {file}.
func Assets() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("file")
		data, err := assetFiles.ReadFile("assets/" + name)
		kind := types[path.Ext(name)]
		if err != nil || kind == "" {
			http.NotFound(w, r)
			return
		}
		// A new version must be seen at once; what is unchanged costs no body.
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("Content-Type", kind)
		w.Header().Set("ETag", etag(data))
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(data))
	})
}
