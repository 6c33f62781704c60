package ops

import (
	"net/http"
	"time"

	"github.com/gabiondb/gabion/messages"
)

// maxForm is the most that a form may hold, in bytes.
const maxForm = 8 << 10

// login shows the form that asks for a token.
func (h *Handler) login(w http.ResponseWriter, r *http.Request) {
	if !h.guard.asks() {
		w.Header().Set("Location", "./")
		w.WriteHeader(http.StatusSeeOther)
		return
	}
	h.pages.Login(w, http.StatusOK, "", h.viewer(r))
}

// signIn begins a session by a token.
func (h *Handler) signIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		h.refuse(w, r, &refused{http.StatusBadRequest, messages.Failf(messages.Code_CODE_INVALID_ARGUMENT, "form cannot be read: %v", err)})
		return
	}
	got := h.guard.withToken(r.PostForm.Get("token"))
	if got == nobody {
		h.pages.Login(w, http.StatusUnauthorized, "That token is not known.", h.viewer(r))
		return
	}
	// Without a path: the browser takes the handler's own, under whatever prefix.
	http.SetCookie(w, &http.Cookie{Name: sessionName, Value: h.guard.session(got, time.Now()), MaxAge: int(sessionLife / time.Second),
		HttpOnly: true, Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https", SameSite: http.SameSiteStrictMode})
	w.Header().Set("Location", "./")
	w.WriteHeader(http.StatusSeeOther)
}

// signOut ends the browser's session.
func (h *Handler) signOut(w http.ResponseWriter, _ *http.Request) {
	http.SetCookie(w, &http.Cookie{Name: sessionName, MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	w.Header().Set("Location", "./login")
	w.WriteHeader(http.StatusSeeOther)
}
