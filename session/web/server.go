package web

import (
	"log/slog"
	"net/http"
	"time"
)

// MaxHeaderBytes bounds the headers of a request to the gate's own host. Envoy
// admits 60 KiB by default.
const MaxHeaderBytes = 64 << 10

// Server returns the http.Server for h with every bound set. Its idle time is
// longer than the hour that Envoy keeps an idle connection to an upstream, so
// that Envoy closes first: the other way round a request can meet a closing
// connection and fail with 503.
func Server(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       65 * time.Minute,
		MaxHeaderBytes:    MaxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}
