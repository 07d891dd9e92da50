// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// requeue is POST /v1/quarantine/requeue: one line for each message, as it
// becomes known.
func (s *Server) requeue(w http.ResponseWriter, r *http.Request) {
	if s.cfg.Requeue == nil {
		writeError(w, fmt.Errorf("%w: nothing is collected here", ErrUnsupported))
		return
	}
	var q struct {
		IDs []string `json:"ids"`
		All bool     `json:"all"`
	}
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&q); err != nil || q.All == (len(q.IDs) > 0) {
		err = fmt.Errorf("%w: the body is neither {\"ids\": [...]} nor {\"all\": true}", ErrInvalid)
		s.unreadHTTP(r, err)
		writeError(w, err)
		return
	}
	s.tell(w, r, func(tell func(any) error) error { return s.cfg.Requeue(r.Context(), q.IDs, tell) })
}

func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	if s.cfg.Status == nil {
		writeJSON(w, http.StatusOK, struct{}{})
		return
	}
	v, err := s.cfg.Status(r.Context())
	if err != nil {
		writeError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, v)
}

func (s *Server) reload(w http.ResponseWriter, r *http.Request) {
	if s.cfg.Reload == nil {
		writeError(w, fmt.Errorf("%w: there is no chain here", ErrUnsupported))
		return
	}
	v, err := s.cfg.Reload(r.Context())
	if err != nil {
		writeError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, v)
}

// An Action does what an admin asks for in body, and tells what became of it. Its
// context knows who that is ([authz.FromContext]).
type Action func(ctx context.Context, body []byte, tell func(any) error) error

func (s *Server) act(do Action) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			err = fmt.Errorf("%w: %w", ErrInvalid, err)
			s.unreadHTTP(r, err)
			writeError(w, err)
			return
		}
		s.tell(w, r, func(tell func(any) error) error { return do(r.Context(), body, tell) })
	}
}

// tell answers with one line for each thing that do tells, as it becomes known.
func (s *Server) tell(w http.ResponseWriter, r *http.Request, do func(tell func(any) error) error) {
	begun := false
	begin := func() {
		if !begun {
			w.Header().Set("Content-Type", "application/x-ndjson")
			w.Header().Set("Trailer", ErrorTrailer)
			begun = true
		}
	}
	out := http.NewResponseController(w)
	err := do(func(became any) error {
		begin()
		b, err := json.Marshal(became)
		if err != nil {
			return err
		}
		if _, err := w.Write(append(b, '\n')); err != nil {
			return err
		}
		return out.Flush()
	})
	switch {
	case err != nil && begun:
		fail(w, err)
	case err != nil:
		if errors.Is(err, ErrInvalid) { // what is done or refused is told by who does it
			s.unreadHTTP(r, err)
		}
		writeError(w, err)
	default:
		begin()
	}
}
